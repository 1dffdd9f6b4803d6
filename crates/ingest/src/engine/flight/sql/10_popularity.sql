-- How many training users have each video among their positives.
-- Equals `data::Interactions::popularity` of the training pairs.
INSERT OVERWRITE DIRECTORY {{popularity}} USING parquet
SELECT video_id, count(*) AS users
FROM parquet.{{split_table}}
WHERE part = 'train' AND judgement = 'positive'
GROUP BY video_id

-- How many rows each user has of each video: what the rounds after this count, far fewer than the events.
INSERT OVERWRITE DIRECTORY {{left}} USING parquet
SELECT user_id, video_id, sum(CASE WHEN mark = 0 THEN 1 ELSE 0 END) AS n_rows
FROM parquet.{{judged_before}}
WHERE reason IS NULL
GROUP BY user_id, video_id

-- How many training users have both videos among their positives; each two once, the lesser id first.
-- Equals the products of columns in `models::zoo::knn::item_knn`, before they are divided by popularity.
INSERT OVERWRITE DIRECTORY {{co_occurrences}} USING parquet
WITH wanted AS (
    SELECT user_id, video_id FROM parquet.{{split_table}} WHERE part = 'train' AND judgement = 'positive'
)
SELECT one.video_id AS video, other.video_id AS other, count(*) AS users
FROM wanted AS one JOIN wanted AS other
    ON one.user_id = other.user_id AND one.video_id < other.video_id
GROUP BY one.video_id, other.video_id

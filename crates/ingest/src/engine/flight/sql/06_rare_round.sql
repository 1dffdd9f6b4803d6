-- Takes out users with too few rows, then videos with too few of what is left: `min-user-events`, `min-video-events`.
-- Equals a round of `gather.rs::drop_rare`, which leaves alone who has no row at all. With `k-core` this statement is
-- run again and again, each time on what it made before, until as many pairs come out as went in.
INSERT OVERWRITE DIRECTORY {{left}} USING parquet
WITH
of_users AS (
    SELECT *, sum(n_rows) OVER (PARTITION BY user_id) AS rows_of_user FROM parquet.{{left_before}}
),
of_videos AS (
    SELECT *, sum(n_rows) OVER (PARTITION BY video_id) AS rows_of_video
    FROM of_users
    WHERE rows_of_user >= {{user_events_min}} OR rows_of_user = 0
)
SELECT user_id, video_id, n_rows
FROM of_videos
WHERE rows_of_video >= {{video_events_min}} OR rows_of_video = 0

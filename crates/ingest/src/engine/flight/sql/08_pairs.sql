-- One row for each pair of user and video: what models are fitted on, and the pair's sums.
-- Equals `data::Interactions::new`: a `hate` outweighs, then any positive; `time` is that of the first positive event
-- unless a `hate` came before it, else of the first event; `value` is the largest watch ratio since the last rating,
-- or that rating if it is larger. `sequence` orders a user's pairs: by time, those of the same moment as they began.
INSERT OVERWRITE DIRECTORY {{pairs}} USING parquet
WITH
judged AS (
    SELECT
        *,
        CASE WHEN action = 'hate' THEN -1 WHEN {{is_positive}} THEN 1 ELSE 0 END AS judgement,
        max(CASE WHEN action = 'rating' AND value IS NOT NULL THEN position END)
            OVER (PARTITION BY user_id, video_id) AS rated_at
    FROM parquet.{{events_table}}
),
grouped AS (
    SELECT
        user_id,
        video_id,
        min(time) AS first_time,
        max(time) AS last_time,
        count(*) AS events,
        CAST(sum(CASE WHEN action = 'watch' THEN CAST(value AS DOUBLE) END) AS FLOAT) AS watch_seconds,
        max(ratio) AS ratio_max,
        CAST(avg(CAST(ratio AS DOUBLE)) AS FLOAT) AS ratio_mean,
        max(CASE WHEN position = rated_at THEN value END) AS rating,
        max(CASE WHEN rated_at IS NULL OR position > rated_at THEN ratio END) AS ratio_since,
        min(position) AS first_position,
        min(CASE WHEN judgement = 1 THEN position END) AS positive_at,
        min(CASE WHEN judgement = 1 THEN time END) AS positive_time,
        min(CASE WHEN judgement = -1 THEN position END) AS negative_at
    FROM judged
    GROUP BY user_id, video_id
),
timed AS (
    SELECT
        *,
        CASE
            WHEN positive_at IS NOT NULL AND (negative_at IS NULL OR positive_at < negative_at) THEN positive_time
            ELSE first_time
        END AS time,
        CASE
            WHEN negative_at IS NOT NULL THEN 'negative'
            WHEN positive_at IS NOT NULL THEN 'positive'
            ELSE 'neutral'
        END AS judgement
    FROM grouped
)
SELECT
    user_id, video_id, time,
    CASE WHEN rating IS NULL THEN ratio_since ELSE greatest(rating, coalesce(ratio_since, rating)) END AS value,
    judgement, first_time, last_time, events, watch_seconds, ratio_max, ratio_mean,
    row_number() OVER (PARTITION BY user_id ORDER BY time, first_position) AS sequence
FROM timed

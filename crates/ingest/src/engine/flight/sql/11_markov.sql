-- How often a video comes one, two or three places after another among a user's training positives.
-- Equals `models::zoo::markov::transitions`, which weighs a gap g by 1/g: weight = gap_1 + gap_2 / 2 + gap_3 / 3.
-- Whole numbers are kept, so that sums do not depend on the order of adding.
INSERT OVERWRITE DIRECTORY {{transitions}} USING parquet
WITH
following AS (
    SELECT
        video_id AS earlier,
        lead(video_id, 1) OVER (PARTITION BY user_id ORDER BY sequence) AS next_1,
        lead(video_id, 2) OVER (PARTITION BY user_id ORDER BY sequence) AS next_2,
        lead(video_id, 3) OVER (PARTITION BY user_id ORDER BY sequence) AS next_3
    FROM parquet.{{split_table}}
    WHERE part = 'train' AND judgement = 'positive'
),
gaps AS (
    SELECT earlier, step.later AS later, step.gap AS gap
    FROM following
    LATERAL VIEW explode(array(
        named_struct('gap', 1, 'later', next_1),
        named_struct('gap', 2, 'later', next_2),
        named_struct('gap', 3, 'later', next_3)
    )) steps AS step
)
SELECT
    earlier,
    later,
    sum(CASE WHEN gap = 1 THEN 1 ELSE 0 END) AS gap_1,
    sum(CASE WHEN gap = 2 THEN 1 ELSE 0 END) AS gap_2,
    sum(CASE WHEN gap = 3 THEN 1 ELSE 0 END) AS gap_3
FROM gaps
WHERE later IS NOT NULL
GROUP BY earlier, later

-- The same user, video and action again within a time of the one that was kept: `near-duplicate=SECONDS`.
-- Equals `clean.rs::drop_near_duplicates`, which walks through the times of each user, video and action in order. A
-- walk is no window: with 10 seconds, of the times 0, 9, 18 and 19 it keeps 0 and 18. `aggregate` walks here.
INSERT OVERWRITE DIRECTORY {{judged}} USING parquet
WITH
walked AS (
    SELECT
        user_id,
        video_id,
        action,
        aggregate(
            sort_array(collect_list(time)),
            CAST(array() AS ARRAY<BIGINT>),
            (kept, time) -> CASE
                WHEN size(kept) = 0 OR time - element_at(kept, -1) > {{near_duplicate_ms}}
                    THEN concat(kept, array(time))
                ELSE kept
            END
        ) AS kept
    FROM parquet.{{judged_before}}
    WHERE reason IS NULL
    GROUP BY user_id, video_id, action
    HAVING count(*) > 1
),
-- Of several at one moment the first of the file is the one that is kept.
ordered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY user_id, video_id, action, time, reason ORDER BY file, line, mark
        ) AS at_once
    FROM parquet.{{judged_before}}
)
SELECT
    ordered.user_id, ordered.video_id, ordered.action, time, value, ratio, file, line, mark,
    CASE
        WHEN reason IS NULL AND kept IS NOT NULL AND (at_once > 1 OR NOT array_contains(kept, time))
            THEN 'near_duplicate'
        ELSE reason
    END AS reason
FROM ordered LEFT JOIN walked
    ON ordered.user_id = walked.user_id AND ordered.video_id = walked.video_id AND ordered.action = walked.action

-- Each row and its marks (a like, a comment, …) as events of their own, with the reason why one is dropped, or none.
-- Equals `gather.rs::event`, then `clean.rs::drop_duplicates` and `drop_single`: of events with the same user, video,
-- action, time, value and ratio (and, by `duplicate=row`, the same text of the whole row) the first of the file stays.
-- `mark` 0 is the row itself: dropping it is dropping the row. From here to `06_rare.sql` each rule adds its reason to
-- the events that have none yet, so that the first rule that is broken counts.
INSERT OVERWRITE DIRECTORY {{judged}} USING parquet
WITH
made AS (
    SELECT
        file, line, mark, user_id, video_id, time, row_key,
        CASE mark
            WHEN 0 THEN action
            WHEN 1 THEN 'like'
            WHEN 2 THEN 'comment'
            WHEN 3 THEN 'follow'
            WHEN 4 THEN 'collect'
            WHEN 5 THEN 'forward'
            WHEN 6 THEN 'effective_view'
            WHEN 7 THEN 'hate'
            ELSE 'rating'
        END AS action,
        CASE mark WHEN 0 THEN value WHEN 8 THEN stars ELSE CAST(1 AS FLOAT) END AS value,
        CASE WHEN mark = 0 THEN ratio END AS ratio
    FROM parquet.{{rows_table}}
    LATERAL VIEW explode(filter(
        array(
            0,
            CASE WHEN liked THEN 1 END,
            CASE WHEN commented THEN 2 END,
            CASE WHEN followed THEN 3 END,
            CASE WHEN collected THEN 4 END,
            CASE WHEN forwarded THEN 5 END,
            CASE WHEN effective_view THEN 6 END,
            CASE WHEN hated THEN 7 END,
            CASE WHEN stars IS NOT NULL THEN 8 END
        ),
        mark -> mark IS NOT NULL
    )) marks AS mark
    WHERE reason IS NULL
),
counted AS (
    SELECT *, {{copy}} AS copy FROM made
)
SELECT
    user_id, video_id, action, time, value, ratio, file, line, mark,
    CASE
        WHEN copy > 1 THEN 'duplicate'
        WHEN {{late_negative_time}} AND time < 0 THEN 'negative_time'
        WHEN {{late_zero_time}} AND time = 0 THEN 'zero_time'
        WHEN {{late_future_time}} AND time > {{latest_ms}} THEN 'future_time'
        WHEN ratio > {{ratio_max}} THEN 'ratio_beyond_cap'
    END AS reason
FROM counted

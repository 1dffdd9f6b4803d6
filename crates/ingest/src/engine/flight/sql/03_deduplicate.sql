-- Events: the kept rows without exact copies, and the marks of each (a like, a comment, …) as events of their own.
-- Equals `gather.rs::event`: of rows with the same user, video, action, time, value and ratio the first of the file
-- stays, with its marks; a mark that stands there already is not repeated. `position` is the place among the
-- user's events by time; events of the same moment keep the order of the file, which decides what follows what.
INSERT OVERWRITE DIRECTORY {{events}} USING parquet
WITH
firsts AS (
    SELECT * FROM (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY user_id, video_id, action, time, value, ratio ORDER BY file, line
            ) AS copy
        FROM parquet.{{rows_table}}
        WHERE reason IS NULL
    )
    WHERE copy = 1
),
made AS (
    -- Mark 0 is the row itself.
    SELECT
        file, line, mark, user_id, video_id, time,
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
    FROM firsts
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
),
once AS (
    SELECT * FROM (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY user_id, video_id, action, time, value, ratio ORDER BY file, line, mark
            ) AS again
        FROM made
    )
    WHERE again = 1
)
SELECT
    user_id, video_id, action, time, value, ratio,
    row_number() OVER (PARTITION BY user_id ORDER BY time, file, line, mark) AS position,
    file, line, mark
FROM once

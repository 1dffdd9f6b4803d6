-- The events that no rule drops. `position` is the place among the user's events by time; events of the same moment
-- keep the order of the file, which decides what follows what.
INSERT OVERWRITE DIRECTORY {{events}} USING parquet
SELECT
    user_id, video_id, action, time, value, ratio,
    row_number() OVER (PARTITION BY user_id ORDER BY time, file, line, mark) AS position,
    file, line, mark
FROM parquet.{{judged_before}}
WHERE reason IS NULL

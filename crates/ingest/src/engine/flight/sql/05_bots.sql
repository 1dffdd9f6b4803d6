-- All events of users who ever do more than so much within a window: `bots=EVENTS/WINDOW`.
-- Equals `clean.rs::drop_bots`: rows are counted, not their marks; if from one row to the one that is so many places
-- later less than the window passes, there is one too many.
INSERT OVERWRITE DIRECTORY {{judged}} USING parquet
WITH
paced AS (
    SELECT
        user_id,
        lead(time, {{bot_events_max}}) OVER (PARTITION BY user_id ORDER BY time) - time AS took_ms
    FROM parquet.{{judged_before}}
    WHERE reason IS NULL AND mark = 0
),
bots AS (
    SELECT user_id FROM paced WHERE took_ms < {{bot_window_ms}} GROUP BY user_id
)
SELECT
    judged.user_id, video_id, action, time, value, ratio, file, line, mark,
    CASE WHEN reason IS NULL AND bots.user_id IS NOT NULL THEN 'bot' ELSE reason END AS reason
FROM parquet.{{judged_before}} AS judged LEFT JOIN bots ON judged.user_id = bots.user_id

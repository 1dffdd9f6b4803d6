-- Events of users and videos that the rounds before this took out.
INSERT OVERWRITE DIRECTORY {{judged}} USING parquet
SELECT
    judged.user_id, judged.video_id, action, time, value, ratio, file, line, mark,
    CASE WHEN reason IS NULL AND n_rows IS NULL THEN 'too_few_events' ELSE reason END AS reason
FROM parquet.{{judged_before}} AS judged LEFT JOIN parquet.{{left_table}} AS pairs_left
    ON judged.user_id = pairs_left.user_id AND judged.video_id = pairs_left.video_id

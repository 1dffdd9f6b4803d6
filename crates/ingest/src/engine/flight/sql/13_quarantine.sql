-- Every row that was dropped, with its reason: those that break a rule by themselves, then those among their like.
INSERT OVERWRITE DIRECTORY {{quarantine}} USING parquet
SELECT reason, file, line, user_id, video_id, action, time, value, ratio
FROM parquet.{{rows_table}}
WHERE reason IS NOT NULL
UNION ALL
SELECT reason, file, line, user_id, video_id, action, time, value, ratio
FROM parquet.{{judged_before}}
WHERE reason IS NOT NULL AND mark = 0

-- What was kept and dropped, by reason: `clean::CleaningReport` without its examples, which `quarantine` holds.
-- Distinct ids are counted by groups: engines send the ids of `count(DISTINCT …)` between machines in one message.
INSERT OVERWRITE DIRECTORY {{cleaning}} USING parquet
SELECT reason, count(*) AS n_rows FROM parquet.{{quarantine_table}} GROUP BY reason
UNION ALL
SELECT 'kept', count(*) FROM parquet.{{events_table}} WHERE mark = 0
UNION ALL
SELECT 'events', count(*) FROM parquet.{{events_table}}
UNION ALL
SELECT 'users', count(*) FROM (SELECT user_id FROM parquet.{{events_table}} GROUP BY user_id)
UNION ALL
SELECT 'videos', count(*) FROM (SELECT video_id FROM parquet.{{events_table}} GROUP BY video_id)

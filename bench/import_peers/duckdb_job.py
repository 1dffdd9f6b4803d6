"""The import job in DuckDB. Arguments: CSV, Parquet, threads."""
import sys

import duckdb

source, target, threads = sys.argv[1:]
db = duckdb.connect()
db.execute(f"SET threads = {int(threads)}")
db.execute("SET preserve_insertion_order = false")
db.execute(f"""
    CREATE TEMP TABLE pairs AS
    WITH clean AS (
        SELECT DISTINCT * FROM read_csv('{source}')
        WHERE user_id IS NOT NULL AND video_id IS NOT NULL AND "timestamp" IS NOT NULL
    )
    SELECT user_id, video_id, count(*) AS events, sum(play_duration) / 1000 AS watch_seconds,
           max(watch_ratio) AS ratio_max, min("timestamp") AS first_time
    FROM clean WHERE "timestamp" > 0 GROUP BY user_id, video_id
""")
(n,) = db.execute("SELECT count(*) FROM pairs").fetchone()
cut = lambda share: db.execute(
    f"SELECT first_time FROM pairs ORDER BY first_time LIMIT 1 OFFSET {n * share // 100}").fetchone()[0]
first, second = cut(80), cut(90)
db.execute(f"""
    COPY (SELECT *, ((first_time >= {first})::UTINYINT + (first_time >= {second})::UTINYINT)::UTINYINT AS part FROM pairs)
    TO '{target}' (FORMAT parquet)
""")

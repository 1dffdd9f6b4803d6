"""The import job in polars: lazy scan, streaming engine, Parquet out. Arguments: CSV, Parquet, threads."""
import sys

import polars as pl

source, target, _ = sys.argv[1:]
pairs = (
    pl.scan_csv(source, infer_schema_length=10_000)
    .drop_nulls(["user_id", "video_id", "timestamp"])
    .unique()
    .filter(pl.col("timestamp") > 0)
    .group_by("user_id", "video_id")
    .agg(
        pl.len().alias("events"),
        (pl.col("play_duration").sum() / 1_000).alias("watch_seconds"),
        pl.col("watch_ratio").max().alias("ratio_max"),
        pl.col("timestamp").min().alias("first_time"),
    )
    .collect(engine="streaming")
)
times = pairs["first_time"].sort()
first, second = times[len(times) * 80 // 100], times[len(times) * 90 // 100]
part = (pl.col("first_time") >= first).cast(pl.UInt8) + (pl.col("first_time") >= second).cast(pl.UInt8)
pairs.lazy().with_columns(part.alias("part")).sink_parquet(target)

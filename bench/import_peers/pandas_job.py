"""The import job in pandas. Arguments: CSV, Parquet, threads."""
import sys

import numpy as np
import pandas as pd

source, target, _ = sys.argv[1:]
rows = pd.read_csv(source)
rows = rows.dropna(subset=["user_id", "video_id", "timestamp"]).drop_duplicates()
rows = rows[rows["timestamp"] > 0]
pairs = rows.groupby(["user_id", "video_id"], as_index=False, sort=False).agg(
    events=("timestamp", "size"), watch_seconds=("play_duration", "sum"), ratio_max=("watch_ratio", "max"),
    first_time=("timestamp", "min"))
pairs["watch_seconds"] /= 1_000
times = np.sort(pairs["first_time"].to_numpy())
first, second = times[len(times) * 80 // 100], times[len(times) * 90 // 100]
pairs["part"] = ((pairs["first_time"] >= first).astype("uint8") + (pairs["first_time"] >= second)).astype("uint8")
pairs.to_parquet(target, index=False)

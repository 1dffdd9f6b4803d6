-- Every row that was read, measured, with the reason why it is dropped by itself, or none.
-- Equals `formats/events.rs::measure`, rule by rule and in its order, so that reasons count alike: the first fault
-- of a row is its reason. A rule that is off stands here as `false`.
INSERT OVERWRITE DIRECTORY {{rows}} USING parquet
WITH
said AS (
    -- Words that stand for nothing where a number belongs.
    SELECT
        file, line, broken, lacks, row_key, time_ms,
        coalesce(user_id, '') AS user_id,
        coalesce(video_id, '') AS video_id,
        -- Case and joints of words do not matter.
        nullif(regexp_replace(lower(action), '[^a-z0-9]', ''), '') AS action,
        CASE WHEN lower(time) IN {{nothing}} THEN NULL ELSE time END AS time,
        CASE WHEN lower(duration) IN {{nothing}} THEN NULL ELSE duration END AS duration,
        CASE WHEN lower(duration_ms) IN {{nothing}} THEN NULL ELSE duration_ms END AS duration_ms,
        CASE WHEN lower(watch_seconds) IN {{nothing}} THEN NULL ELSE watch_seconds END AS watch_seconds,
        CASE WHEN lower(watch_ms) IN {{nothing}} THEN NULL ELSE watch_ms END AS watch_ms,
        CASE WHEN lower(ratio) IN {{nothing}} THEN NULL ELSE ratio END AS ratio,
        CASE WHEN lower(rating) IN {{nothing}} THEN NULL ELSE rating END AS rating,
        CASE WHEN lower(value) IN {{nothing}} THEN NULL ELSE value END AS value,
        CASE WHEN lower(liked) IN {{nothing}} THEN NULL ELSE liked END AS liked,
        CASE WHEN lower(commented) IN {{nothing}} THEN NULL ELSE commented END AS commented,
        CASE WHEN lower(followed) IN {{nothing}} THEN NULL ELSE followed END AS followed,
        CASE WHEN lower(collected) IN {{nothing}} THEN NULL ELSE collected END AS collected,
        CASE WHEN lower(forwarded) IN {{nothing}} THEN NULL ELSE forwarded END AS forwarded,
        CASE WHEN lower(effective_view) IN {{nothing}} THEN NULL ELSE effective_view END AS effective_view,
        CASE WHEN lower(hated) IN {{nothing}} THEN NULL ELSE hated END AS hated
    FROM (
        {{sources}}
    )
),
numbered AS (
    SELECT
        *,
        try_cast(time AS DOUBLE) AS time_number,
        CASE lower(duration) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(duration AS DOUBLE) END AS duration_number,
        CASE lower(duration_ms) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(duration_ms AS DOUBLE) END AS duration_ms_number,
        CASE lower(watch_seconds) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(watch_seconds AS DOUBLE) END AS watch_seconds_number,
        CASE lower(watch_ms) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(watch_ms AS DOUBLE) END AS watch_ms_number,
        CASE lower(ratio) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(ratio AS DOUBLE) END AS ratio_number,
        CASE lower(rating) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(rating AS DOUBLE) END AS rating_number,
        -- `88mins` and `1.5h` are seconds.
        CASE
            WHEN lower(value) = 'true' THEN 1.0D
            WHEN lower(value) = 'false' THEN 0.0D
            WHEN trim(regexp_extract(lower(value), '^[^a-df-z]*([a-df-z].*)$', 1)) IN ('s', 'sec', 'secs', 'seconds')
                THEN try_cast(trim(regexp_extract(lower(value), '^([^a-df-z]*)', 1)) AS DOUBLE)
            WHEN trim(regexp_extract(lower(value), '^[^a-df-z]*([a-df-z].*)$', 1)) IN ('min', 'mins', 'minutes', 'm')
                THEN 60.0D * try_cast(trim(regexp_extract(lower(value), '^([^a-df-z]*)', 1)) AS DOUBLE)
            WHEN trim(regexp_extract(lower(value), '^[^a-df-z]*([a-df-z].*)$', 1)) IN ('h', 'hour', 'hours')
                THEN 3600.0D * try_cast(trim(regexp_extract(lower(value), '^([^a-df-z]*)', 1)) AS DOUBLE)
            ELSE try_cast(value AS DOUBLE)
        END AS value_number,
        CASE lower(liked) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(liked AS DOUBLE) END AS liked_number,
        CASE lower(commented) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(commented AS DOUBLE) END AS commented_number,
        CASE lower(followed) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(followed AS DOUBLE) END AS followed_number,
        CASE lower(collected) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(collected AS DOUBLE) END AS collected_number,
        CASE lower(forwarded) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(forwarded AS DOUBLE) END AS forwarded_number,
        CASE lower(effective_view) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(effective_view AS DOUBLE) END AS effective_view_number,
        CASE lower(hated) WHEN 'true' THEN 1.0D WHEN 'false' THEN 0.0D ELSE try_cast(hated AS DOUBLE) END AS hated_number
    FROM said
),
timed AS (
    -- `time.rs`: YYYYMMDD, then seconds, milliseconds, microseconds or nanoseconds by size, then ISO 8601 in UTC.
    SELECT
        *,
        CASE
            WHEN time_ms IS NOT NULL THEN time_ms
            WHEN time_number IS NULL
                THEN unix_millis(try_cast(replace(time, '/', '-') AS TIMESTAMP))
            WHEN time_number BETWEEN 19800101 AND 21001231
                AND unix_millis(try_cast({{yyyymmdd}} AS TIMESTAMP)) IS NOT NULL
                THEN unix_millis(try_cast({{yyyymmdd}} AS TIMESTAMP))
            WHEN time_number >= 9.3e24D THEN 9223372036854775807
            WHEN time_number <= -9.3e24D THEN -9223372036854775807
            WHEN abs(time_number) < 1e11D THEN try_cast(round(time_number * 1e3D) AS BIGINT)
            WHEN abs(time_number) < 1e14D THEN try_cast(round(time_number) AS BIGINT)
            WHEN abs(time_number) < 1e17D THEN try_cast(round(time_number / 1e3D) AS BIGINT)
            ELSE try_cast(round(time_number / 1e6D) AS BIGINT)
        END AS at_ms,
        coalesce(duration_number, duration_ms_number / 1000.0D) AS seconds,
        coalesce(watch_seconds_number, watch_ms_number / 1000.0D) AS watched
    FROM numbered
),
faults AS (
    -- Values are kept as 32-bit floats: what does not fit there is not finite there.
    SELECT
        *,
        CASE
            WHEN time_ms IS NULL AND time IS NULL THEN 'missing'
            WHEN isnan(time_number) OR abs(time_number) > 1.7976931348623157e308D THEN 'non_finite'
            WHEN at_ms IS NULL THEN 'malformed'
            WHEN {{negative_time}} AND at_ms < 0 THEN 'negative_time'
            WHEN {{zero_time}} AND at_ms = 0 THEN 'zero_time'
            WHEN {{future_time}} AND at_ms > {{latest_ms}} THEN 'future_time'
        END AS time_fault,
        CASE
            WHEN duration IS NULL THEN NULL
            WHEN duration_number IS NULL THEN 'malformed'
            WHEN isnan(duration_number) OR abs(duration_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS duration_fault,
        CASE
            WHEN duration_ms IS NULL THEN NULL
            WHEN duration_ms_number IS NULL THEN 'malformed'
            WHEN isnan(duration_ms_number) OR abs(duration_ms_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS duration_ms_fault,
        CASE
            WHEN watch_seconds IS NULL THEN NULL
            WHEN watch_seconds_number IS NULL THEN 'malformed'
            WHEN isnan(watch_seconds_number) OR abs(watch_seconds_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS watch_seconds_fault,
        CASE
            WHEN watch_ms IS NULL THEN NULL
            WHEN watch_ms_number IS NULL THEN 'malformed'
            WHEN isnan(watch_ms_number) OR abs(watch_ms_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS watch_ms_fault,
        CASE
            WHEN ratio IS NULL THEN NULL
            WHEN ratio_number IS NULL THEN 'malformed'
            WHEN isnan(ratio_number) OR abs(ratio_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS ratio_fault,
        CASE
            WHEN rating IS NULL THEN NULL
            WHEN rating_number IS NULL THEN 'malformed'
            WHEN isnan(rating_number) OR abs(rating_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS rating_fault,
        CASE
            WHEN value IS NULL THEN NULL
            WHEN value_number IS NULL THEN 'malformed'
            WHEN isnan(value_number) OR abs(value_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS value_fault,
        CASE
            WHEN liked IS NULL THEN NULL
            WHEN liked_number IS NULL THEN 'malformed'
            WHEN isnan(liked_number) OR abs(liked_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS liked_fault,
        CASE
            WHEN commented IS NULL THEN NULL
            WHEN commented_number IS NULL THEN 'malformed'
            WHEN isnan(commented_number) OR abs(commented_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS commented_fault,
        CASE
            WHEN followed IS NULL THEN NULL
            WHEN followed_number IS NULL THEN 'malformed'
            WHEN isnan(followed_number) OR abs(followed_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS followed_fault,
        CASE
            WHEN collected IS NULL THEN NULL
            WHEN collected_number IS NULL THEN 'malformed'
            WHEN isnan(collected_number) OR abs(collected_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS collected_fault,
        CASE
            WHEN forwarded IS NULL THEN NULL
            WHEN forwarded_number IS NULL THEN 'malformed'
            WHEN isnan(forwarded_number) OR abs(forwarded_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS forwarded_fault,
        CASE
            WHEN effective_view IS NULL THEN NULL
            WHEN effective_view_number IS NULL THEN 'malformed'
            WHEN isnan(effective_view_number) OR abs(effective_view_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS effective_view_fault,
        CASE
            WHEN hated IS NULL THEN NULL
            WHEN hated_number IS NULL THEN 'malformed'
            WHEN isnan(hated_number) OR abs(hated_number) >= 3.4028235677973366e38D THEN 'non_finite'
        END AS hated_fault
    FROM timed
),
judged AS (
    SELECT
        *,
        -- By no length at all, which only a rule that is off lets through, a watch is endlessly long.
        CAST(coalesce(
            ratio_number,
            watched / nullif(seconds, 0.0D),
            CASE WHEN seconds = 0 AND watched > 0 THEN CAST('Infinity' AS DOUBLE) END,
            CASE WHEN seconds = 0 AND watched < 0 THEN CAST('-Infinity' AS DOUBLE) END
        ) AS FLOAT) AS watch_ratio,
        CASE
            WHEN action IN (
                'watch', 'watched', 'view', 'viewed', 'play', 'played', 'click', 'clicked', 'read', 'seen', 'stream',
                'streamed', 'listen', 'videoview', 'videoplay', 'pageview', 'itempageview', 'detailpageview', 'open',
                'start'
            ) THEN 'watch'
            WHEN action IN ('like', 'liked', 'star', 'love', 'favorite', 'favourite', 'thumbsup', 'upvote') THEN 'like'
            WHEN action IN ('comment', 'commented', 'reply') THEN 'comment'
            WHEN action IN ('follow', 'followed', 'subscribe') THEN 'follow'
            WHEN action IN (
                'collect', 'collected', 'bookmark', 'save', 'saved', 'watchlater', 'cart', 'addtocart', 'wishlist',
                'addtolist', 'addtowatchlist', 'download', 'queue'
            ) THEN 'collect'
            WHEN action IN ('forward', 'forwarded', 'share', 'shared', 'repost') THEN 'forward'
            WHEN action IN (
                'effectiveview', 'validview', 'longview', 'complete', 'completed', 'finish', 'purchase', 'purchased',
                'buy', 'rent', 'conv', 'conversion', 'order'
            ) THEN 'effective_view'
            WHEN action IN (
                'hate', 'dislike', 'notinterested', 'thumbsdown', 'downvote', 'report', 'skip', 'skipped', 'block',
                'hide'
            ) THEN 'hate'
            WHEN action IN ('impression', 'show', 'shown', 'exposure') THEN 'impression'
            WHEN action = 'search' THEN 'search'
            WHEN action IN ('rating', 'rate', 'rated', 'review', 'stars') THEN 'rating'
        END AS named
    FROM faults
)
SELECT
    file,
    line,
    CASE
        WHEN broken THEN 'malformed'
        WHEN lacks THEN 'missing'
        WHEN user_id = '' THEN 'missing'
        WHEN octet_length(user_id) > {{id_bytes_max}} THEN 'malformed'
        WHEN time_fault IS NOT NULL THEN time_fault
        WHEN duration_fault IS NOT NULL THEN duration_fault
        WHEN duration IS NULL AND duration_ms_fault IS NOT NULL THEN duration_ms_fault
        WHEN {{impossible_duration}} AND (seconds <= 0 OR seconds > {{duration_seconds_max}}) THEN 'impossible_duration'
        WHEN watch_seconds_fault IS NOT NULL THEN watch_seconds_fault
        WHEN watch_seconds IS NULL AND watch_ms_fault IS NOT NULL THEN watch_ms_fault
        WHEN {{impossible_duration}} AND (watched < 0 OR watched > {{watch_seconds_max}}) THEN 'impossible_duration'
        WHEN ratio_fault IS NOT NULL THEN ratio_fault
        WHEN {{impossible_duration}} AND ratio_number < 0 THEN 'impossible_duration'
        WHEN rating_fault IS NOT NULL THEN rating_fault
        WHEN {{has_action}} AND action IS NULL THEN 'missing'
        WHEN {{has_action}} AND named IS NULL THEN 'malformed'
        -- Beside a search or a comment stand words.
        WHEN value_fault IS NOT NULL AND NOT ({{has_action}} AND named IN ('search', 'comment')) THEN value_fault
        WHEN liked_fault IS NOT NULL THEN liked_fault
        WHEN commented_fault IS NOT NULL THEN commented_fault
        WHEN followed_fault IS NOT NULL THEN followed_fault
        WHEN collected_fault IS NOT NULL THEN collected_fault
        WHEN forwarded_fault IS NOT NULL THEN forwarded_fault
        WHEN effective_view_fault IS NOT NULL THEN effective_view_fault
        WHEN hated_fault IS NOT NULL THEN hated_fault
        -- A row of a table that measures, without any measure.
        WHEN {{must_measure}} AND watched IS NULL AND watch_ratio IS NULL AND value IS NULL AND rating IS NULL
            THEN 'missing'
        WHEN video_id = '' THEN 'missing'
        WHEN octet_length(video_id) > {{id_bytes_max}} THEN 'malformed'
    END AS reason,
    user_id,
    video_id,
    row_key,
    CASE
        WHEN {{has_action}} THEN named
        WHEN watched IS NOT NULL OR watch_ratio IS NOT NULL OR value IS NOT NULL THEN 'watch'
        WHEN rating IS NOT NULL THEN 'rating'
        -- A row of marks alone says that the video was shown, and what followed.
        WHEN {{has_marks}} THEN 'impression'
        ELSE 'watch'
    END AS action,
    at_ms AS time,
    CAST(CASE
        WHEN {{has_action}} AND named = 'watch'
            THEN coalesce(watched, CASE WHEN watch_ratio IS NULL THEN value_number END)
        WHEN {{has_action}} AND named = 'rating'
            THEN coalesce(rating_number, value_number, CAST(watch_ratio AS DOUBLE))
        WHEN {{has_action}} AND named IN ('search', 'comment') THEN 1.0D
        WHEN {{has_action}} THEN coalesce(value_number, 1.0D)
        WHEN watched IS NOT NULL OR watch_ratio IS NOT NULL OR value IS NOT NULL
            THEN coalesce(watched, value_number)
        ELSE rating_number
    END AS FLOAT) AS value,
    CASE WHEN NOT {{has_action}} OR named = 'watch' THEN watch_ratio END AS ratio,
    -- The rating beside a watch is an event of its own.
    CASE
        WHEN NOT {{has_action}} AND (watched IS NOT NULL OR watch_ratio IS NOT NULL OR value IS NOT NULL)
            THEN CAST(rating_number AS FLOAT)
    END AS stars,
    coalesce(liked_number, 0) <> 0 AS liked,
    coalesce(commented_number, 0) <> 0 AS commented,
    coalesce(followed_number, 0) <> 0 AS followed,
    coalesce(collected_number, 0) <> 0 AS collected,
    coalesce(forwarded_number, 0) <> 0 AS forwarded,
    coalesce(effective_view_number, 0) <> 0 AS effective_view,
    coalesce(hated_number, 0) <> 0 AS hated,
    CAST(seconds AS FLOAT) AS duration_seconds
FROM judged

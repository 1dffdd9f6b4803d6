-- Each pair's part by two cuts in time for all users: 80 %, 10 %, 10 %.
-- Equals `data::split::global_time`: with times sorted, the cuts are those at places len*80/100 and len*90/100, counted
-- from 0; what is earlier than a cut lies before it. The cut is the first time up to which more pairs lie than
-- that place says, so only the distinct times are ordered as a whole, not the pairs.
INSERT OVERWRITE DIRECTORY {{split}} USING parquet
WITH
times AS (
    SELECT time, count(*) AS pairs FROM parquet.{{pairs_table}} GROUP BY time
),
running AS (
    SELECT
        time,
        sum(pairs) OVER (ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS up_to,
        sum(pairs) OVER () AS total
    FROM times
),
cuts AS (
    SELECT
        min(CASE WHEN up_to > (total * 80) DIV 100 THEN time END) AS validation_from,
        min(CASE WHEN up_to > (total * 90) DIV 100 THEN time END) AS test_from
    FROM running
)
SELECT
    pairs.*,
    CASE
        WHEN time < validation_from THEN 'train'
        WHEN time < test_from THEN 'validation'
        ELSE 'test'
    END AS part
FROM parquet.{{pairs_table}} AS pairs CROSS JOIN cuts

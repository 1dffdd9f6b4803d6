-- One Parquet source of events as text cells; what it holds as a timestamp comes as `time_ms`.
-- Equals `table.rs`: `7.0` in a column of numbers is the id `7`.
SELECT
    {{file}} AS file,
    monotonically_increasing_id() AS line,
    false AS broken,
    {{lacks}} AS lacks,
    {{row_key}} AS row_key,
    {{columns}}
FROM parquet.{{path}}

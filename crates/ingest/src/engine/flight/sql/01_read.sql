-- One source of events as text cells: the columns that events need, whatever the file calls them.
-- Equals `table.rs`: a line with more fields than the header is broken, one with fewer lacks its last cells.
-- Read as text and cut here, because engines stop at the first line with too many fields, and because the number
-- of a line orders events of the same moment as the file did. A field in quotes may not hold a line break.
SELECT
    {{file}} AS file,
    line,
    size(cells) > {{n_columns}} AS broken,
    {{lacks}} AS lacks,
    {{row_key}} AS row_key,
    {{columns}}
FROM (
    SELECT
        monotonically_increasing_id() AS line,
        CASE
            WHEN instr(value, '"') = 0 THEN split(value, {{delimiter_pattern}}, -1)
            ELSE regexp_extract_all(concat({{delimiter}}, value), {{field_pattern}}, 1)
        END AS cells
    FROM text.{{path}}
    WHERE trim(BOTH ' \t\r' FROM value) <> ''
)
WHERE NOT ({{is_header}})

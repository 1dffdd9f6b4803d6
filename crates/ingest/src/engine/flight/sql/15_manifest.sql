-- The last statement: from here on the folder has a run, and this is its name. What was begun and not finished has
-- no manifest that names it.
INSERT OVERWRITE DIRECTORY {{manifest}} USING json
SELECT
    {{format}} AS format,
    {{name}} AS folder,
    {{relevance}} AS relevance,
    {{rules}} AS rules,
    {{source_names}} AS sources,
    {{columns_read}} AS columns_read

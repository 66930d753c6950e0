-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- A record of what this revision changes: the down file restores from it, and from nothing that only looks like it.
-- The foreign key keeps it true, since a row deleted later takes its entry along. Writes to the table wait until this
-- revision has committed; reads go on.
CREATE TABLE {{record}} AS
SELECT {{key}}, {{column}} AS {{old_value}}, {{column}} AS {{new_value}}
FROM {{table}}
WITH NO DATA;

ALTER TABLE {{record}}
    ADD PRIMARY KEY ({{key}}),
    ADD FOREIGN KEY ({{key}}) REFERENCES {{table}} ({{key}}) ON DELETE CASCADE;

COMMENT ON TABLE {{record}} IS
    'What {{name}} changed; its rollback reads this table and drops it';

-- {{column_chosen}}
-- As it stands, rows without a value get the column's default, and none is changed where there is no such row.
-- Edit the two lines that are marked.
WITH chosen AS (
    SELECT {{key}}, {{column}}
    FROM {{table}}
    WHERE {{column}} IS NULL -- edit: which rows
    FOR UPDATE
), changed AS (
    UPDATE {{table}} t
    SET {{column}} = DEFAULT -- edit: their new value
    FROM chosen c
    WHERE {{same_key:c}}
    RETURNING {{key:t}}, c.{{column}} AS {{old_value}}, t.{{column}} AS {{new_value}}
)
INSERT INTO {{record}} ({{key}}, {{old_value}}, {{new_value}})
SELECT {{key}}, {{old_value}}, {{new_value}}
FROM changed;

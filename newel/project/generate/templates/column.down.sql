-- newel: lossy {{table}}.{{new_column}} its values are lost with the column
-- Migration Rollback: {{number}}_{{name}}
-- Description: Remove column {{new_column}} of {{table}}
-- Created: {{date}}

ALTER TABLE {{table}}
    DROP COLUMN {{new_column}};

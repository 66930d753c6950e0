-- newel: lossy {{table}}.deleted_at rows marked as deleted become active again
-- newel: lossy {{table}}.deleted_by who deleted them is forgotten
-- Migration Rollback: {{number}}_{{name}}
-- Description: Remove the soft delete columns of {{table}}
-- Created: {{date}}

-- No row is removed: the deleted ones were there before this revision.
DROP INDEX {{table_schema}}.{{index:not_deleted}};

ALTER TABLE {{table}}
    DROP COLUMN deleted_by,
    DROP COLUMN deleted_at;

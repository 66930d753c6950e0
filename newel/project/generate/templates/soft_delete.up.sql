-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- Nullable columns without a default: PostgreSQL changes the catalog only and does not rewrite the table.
ALTER TABLE {{table}}
    ADD COLUMN {{new_column:deleted_at}} TIMESTAMP WITH TIME ZONE,
    ADD COLUMN {{new_column:deleted_by}} {{user_id_type}};

-- Writes to the table wait while this index is built. On a large table it is a revision of its own, of type index.
CREATE INDEX {{index:not_deleted}}
    ON {{table}} ({{key}})
    WHERE deleted_at IS NULL;

COMMENT ON COLUMN {{table}}.deleted_at IS 'When the row was deleted; NULL for one that is not';
COMMENT ON COLUMN {{table}}.deleted_by IS 'Who deleted it, NULL for the system';

-- Queries leave deleted rows out:  SELECT * FROM {{table}} WHERE deleted_at IS NULL

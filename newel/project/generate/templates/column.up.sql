-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- A nullable column without a default: PostgreSQL changes the catalog only and does not rewrite the table.
ALTER TABLE {{table}}
    ADD COLUMN {{new_column}} TEXT;

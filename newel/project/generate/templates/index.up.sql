-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- CONCURRENTLY lets writes go on while the index is built. It cannot run in a transaction block, so the statements of
-- this file run one by one. No IF NOT EXISTS: it would take an INVALID index, which a build that was broken off
-- leaves, for the index.
-- {{columns_chosen}}
CREATE INDEX CONCURRENTLY {{index}}
    ON {{table}} ({{columns}});

-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- Plain CREATE: IF NOT EXISTS would pass over a schema that somebody else has made, and the down file would drop it.
CREATE SCHEMA {{new_schema}};

COMMENT ON SCHEMA {{new_schema}} IS '{{title}}';

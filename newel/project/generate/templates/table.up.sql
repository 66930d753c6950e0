-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- Plain CREATE: IF NOT EXISTS would pass over a table of the same name, whatever it looks like, and the down file
-- would then drop what this file never made.
CREATE TABLE {{new_table}} (
    id SERIAL PRIMARY KEY,
    -- The table's own columns here
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

-- Create indexes for performance
CREATE INDEX {{index:created_at}} ON {{new_table}} (created_at);

COMMENT ON TABLE {{new_table}} IS '{{title}}';

-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- Plain CREATE: IF NOT EXISTS would pass over a table of the same name, whatever it looks like, and the down file
-- would then drop what this file never made.
CREATE TABLE {{new_table}} (
    id SERIAL PRIMARY KEY,
    -- Business columns here

    -- Audit columns. created_by and updated_by have no foreign key: the record of who did it outlives that user.
    created_by {{user_id_type}},
    updated_by {{user_id_type}},
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

-- Audit indexes
CREATE INDEX {{index:created_at}} ON {{new_table}} (created_at);
CREATE INDEX {{index:updated_at}} ON {{new_table}} (updated_at);

COMMENT ON TABLE {{new_table}} IS '{{title}}';

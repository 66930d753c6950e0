-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}

-- Rows that point to a row of any table. No foreign key holds entity_id: the application keeps the two together.
CREATE TABLE {{new_table}} (
    id SERIAL PRIMARY KEY,
    user_id {{user_id_type}} NOT NULL{{references_users}},
    activity_type VARCHAR(50) NOT NULL,
    entity_type VARCHAR(50) NOT NULL,
    entity_id INTEGER NOT NULL,
    description TEXT,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

-- Indexes for performance
CREATE INDEX {{index:user_id}} ON {{new_table}} (user_id);
CREATE INDEX {{index:entity}} ON {{new_table}} (entity_type, entity_id);
CREATE INDEX {{index:created_at}} ON {{new_table}} (created_at DESC);

COMMENT ON TABLE {{new_table}} IS '{{title}}';
COMMENT ON COLUMN {{new_table}}.entity_type IS 'Table that entity_id belongs to';
COMMENT ON COLUMN {{new_table}}.entity_id IS 'id of the row in the table named by entity_type';

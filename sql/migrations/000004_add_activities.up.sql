-- Migration: 000004_add_activities
-- Description: Add the activity log, which can point to a row of any table
-- Created: 2026-11-22

CREATE TABLE user_service.activities (
    id SERIAL PRIMARY KEY,
    -- No ON DELETE CASCADE: a user with activities is soft-deleted, and the log keeps its rows.
    user_id INTEGER NOT NULL REFERENCES user_service.users(id),
    activity_type VARCHAR(50) NOT NULL,
    entity_type VARCHAR(50) NOT NULL,
    entity_id INTEGER NOT NULL,
    description TEXT,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

-- Indexes for performance
CREATE INDEX idx_activities_user_id ON user_service.activities (user_id);
CREATE INDEX idx_activities_entity ON user_service.activities (entity_type, entity_id);
CREATE INDEX idx_activities_created_at ON user_service.activities (created_at DESC);

COMMENT ON TABLE user_service.activities IS 'What users did, and to which row of which table';
COMMENT ON COLUMN user_service.activities.entity_type IS 'Table that entity_id belongs to; no foreign key holds it';
COMMENT ON COLUMN user_service.activities.entity_id IS 'id of the row in the table named by entity_type';

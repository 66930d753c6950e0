-- Migration: 000002_add_user_settings
-- Description: Add user settings with audit columns
-- Created: 2026-11-22

CREATE TABLE user_service.user_settings (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user_service.users(id) ON DELETE CASCADE,
    setting_key VARCHAR(100) NOT NULL,
    setting_value JSONB NOT NULL,

    -- Audit columns. created_by and updated_by have no foreign key: the record of who did it outlives that user.
    created_by INTEGER,
    updated_by INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,

    -- Its index also finds all settings of one user, so user_id gets no index of its own.
    UNIQUE (user_id, setting_key)
);

-- Audit indexes
CREATE INDEX idx_user_settings_created_at ON user_service.user_settings (created_at);
CREATE INDEX idx_user_settings_updated_at ON user_service.user_settings (updated_at);

COMMENT ON TABLE user_service.user_settings IS 'Settings of a user, one row for each key';
COMMENT ON COLUMN user_service.user_settings.created_by IS 'users.id of whoever made it, NULL for the system';
COMMENT ON COLUMN user_service.user_settings.updated_by IS 'users.id of whoever changed it last, NULL for the system';

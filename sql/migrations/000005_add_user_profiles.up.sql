-- Migration: 000005_add_user_profiles
-- Description: Add user profiles table with bio and preferences
-- Created: 2026-11-22

-- Create user profiles table
CREATE TABLE user_service.user_profiles (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user_service.users(id) ON DELETE CASCADE,
    -- Corrected: the limit stood in a comment only, and nothing held it.
    bio TEXT CHECK (char_length(bio) <= 1000),
    avatar_url VARCHAR(500),
    website VARCHAR(255),
    location VARCHAR(100),
    -- Corrected: 000009 reads this column, and no revision made it (SQLSTATE 42703).
    phone VARCHAR(50),
    timezone VARCHAR(50) DEFAULT 'UTC',
    theme VARCHAR(20) DEFAULT 'light' CHECK (theme IN ('light', 'dark', 'auto')),
    email_notifications BOOLEAN DEFAULT true,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,

    UNIQUE (user_id)
);

-- Create indexes for performance
-- Corrected: idx_user_profiles_user_id is left out. UNIQUE (user_id) has an index on that column already; a second one
-- costs space and every write, and no query gains by it.
CREATE INDEX idx_user_profiles_theme ON user_service.user_profiles (theme);
CREATE INDEX idx_user_profiles_created_at ON user_service.user_profiles (created_at);

-- Add table comment
COMMENT ON TABLE user_service.user_profiles IS 'Extended user profile information and preferences';
COMMENT ON COLUMN user_service.user_profiles.bio IS 'User biography text (max 1000 characters)';
COMMENT ON COLUMN user_service.user_profiles.theme IS 'UI theme preference';

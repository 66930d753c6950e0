-- Migration: 000007_migrate_user_profiles_data
-- Description: Create default profile entries for existing users
-- Created: 2026-11-22

-- Added: a record of what this revision changes, for its down file. The page's down file recognised "its" profiles by
-- age and default values, and so deleted users' own. The foreign key keeps the record true: a profile deleted later
-- takes its entry along, so no later profile is ever taken for one of these. Writes to user_profiles wait until this
-- revision has committed; reads go on.
CREATE TABLE user_service.migration_000007_profiles (
    profile_id INTEGER PRIMARY KEY REFERENCES user_service.user_profiles(id) ON DELETE CASCADE,
    was_created BOOLEAN NOT NULL,
    timezone_was_null BOOLEAN NOT NULL DEFAULT false,
    theme_was_null BOOLEAN NOT NULL DEFAULT false,
    email_notifications_was_null BOOLEAN NOT NULL DEFAULT false,
    updated_at_before TIMESTAMP WITH TIME ZONE,
    updated_at_after TIMESTAMP WITH TIME ZONE
);

COMMENT ON TABLE user_service.migration_000007_profiles IS
    'Profiles that revision 000007 created or filled in; its rollback reads this table and drops it';

-- Create default profiles for users who don't have one, deleted users included: they may come back
WITH created AS (
    INSERT INTO user_service.user_profiles (
        user_id,
        timezone,
        theme,
        email_notifications,
        created_at,
        updated_at
    )
    SELECT
        u.id,
        'UTC',
        'light',
        true,
        CURRENT_TIMESTAMP,
        CURRENT_TIMESTAMP
    FROM user_service.users u
    LEFT JOIN user_service.user_profiles p ON u.id = p.user_id
    WHERE p.id IS NULL
    ON CONFLICT (user_id) DO NOTHING
    RETURNING id
)
INSERT INTO user_service.migration_000007_profiles (profile_id, was_created)
SELECT id, true
FROM created;

-- Update existing profiles with default values, and note which values were NULL
WITH incomplete AS (
    SELECT id, timezone, theme, email_notifications, updated_at
    FROM user_service.user_profiles
    WHERE timezone IS NULL
       OR theme IS NULL
       OR email_notifications IS NULL
    FOR UPDATE
), completed AS (
    UPDATE user_service.user_profiles p
    SET
        timezone = COALESCE(p.timezone, 'UTC'),
        theme = COALESCE(p.theme, 'light'),
        email_notifications = COALESCE(p.email_notifications, true),
        updated_at = CURRENT_TIMESTAMP
    FROM incomplete i
    WHERE p.id = i.id
    RETURNING p.id, p.updated_at
)
INSERT INTO user_service.migration_000007_profiles (
    profile_id,
    was_created,
    timezone_was_null,
    theme_was_null,
    email_notifications_was_null,
    updated_at_before,
    updated_at_after
)
SELECT
    i.id,
    false,
    i.timezone IS NULL,
    i.theme IS NULL,
    i.email_notifications IS NULL,
    i.updated_at,
    c.updated_at
FROM incomplete i
JOIN completed c ON c.id = i.id;

-- Log migration results
-- Corrected: counted from the record. The page counted every profile of the last minute, users' own among them.
DO $$
DECLARE
    profiles_created INTEGER;
    profiles_updated INTEGER;
BEGIN
    SELECT COUNT(*) FILTER (WHERE was_created), COUNT(*) FILTER (WHERE NOT was_created)
    INTO profiles_created, profiles_updated
    FROM user_service.migration_000007_profiles;

    RAISE NOTICE 'Migration completed: % profiles created, % profiles updated',
                profiles_created, profiles_updated;
END $$;

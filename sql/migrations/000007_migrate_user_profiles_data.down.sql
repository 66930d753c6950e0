-- newel: lossy user_service.user_profiles what users have written into profiles of this revision is lost with them
-- Migration Rollback: 000007_migrate_user_profiles_data
-- Description: Remove auto-generated profile data
-- WARNING: This will delete user profile data!
-- Created: 2026-11-22

-- Corrected: the page deleted and nulled rows by their age and default values, so that users' own new profiles were
-- lost and those it had created itself stayed after an hour. This file goes by the record that the up file kept.

-- Count first: the entries of deleted profiles go with them
DO $$
DECLARE
    profiles_created INTEGER;
    profiles_updated INTEGER;
BEGIN
    SELECT COUNT(*) FILTER (WHERE was_created), COUNT(*) FILTER (WHERE NOT was_created)
    INTO profiles_created, profiles_updated
    FROM user_service.migration_000007_profiles;

    RAISE NOTICE 'Rollback: % profiles to remove, % profiles to restore',
                profiles_created, profiles_updated;
END $$;

-- Remove the profiles that the up file created, whatever their age and whatever is in them now
DELETE FROM user_service.user_profiles p
USING user_service.migration_000007_profiles m
WHERE p.id = m.profile_id
  AND m.was_created;

-- Put back the NULLs that the up file replaced. A value that is no longer the default was chosen by the user since, and
-- stays; so does a newer updated_at.
UPDATE user_service.user_profiles p
SET
    timezone = CASE
        WHEN m.timezone_was_null AND p.timezone = 'UTC' THEN NULL
        ELSE p.timezone
    END,
    theme = CASE
        WHEN m.theme_was_null AND p.theme = 'light' THEN NULL
        ELSE p.theme
    END,
    email_notifications = CASE
        WHEN m.email_notifications_was_null AND p.email_notifications THEN NULL
        ELSE p.email_notifications
    END,
    updated_at = CASE
        WHEN p.updated_at = m.updated_at_after THEN m.updated_at_before
        ELSE p.updated_at
    END
FROM user_service.migration_000007_profiles m
WHERE p.id = m.profile_id
  AND NOT m.was_created;

DROP TABLE user_service.migration_000007_profiles;

-- Migration: 000008_dev_test_users
-- Description: Add test users for development; runs in the development environment only
-- Created: 2026-11-22

-- Added: a record of the rows this revision makes, for its down file. ON CONFLICT skips users and profiles that are
-- there already, and the page's down file deleted those too. The foreign keys keep the record true: a row deleted later
-- takes its entry along.
CREATE TABLE user_service.migration_000008_users (
    user_id INTEGER PRIMARY KEY REFERENCES user_service.users(id) ON DELETE CASCADE
);

CREATE TABLE user_service.migration_000008_profiles (
    profile_id INTEGER PRIMARY KEY REFERENCES user_service.user_profiles(id) ON DELETE CASCADE
);

COMMENT ON TABLE user_service.migration_000008_users IS
    'Users that revision 000008 created; its rollback reads this table and drops it';
COMMENT ON TABLE user_service.migration_000008_profiles IS
    'Profiles that revision 000008 created; its rollback reads this table and drops it';

-- Insert development test users
WITH created AS (
    INSERT INTO user_service.users (email, first_name, last_name) VALUES
        ('dev.tester@example.com', 'Dev', 'Tester'),
        ('qa.engineer@example.com', 'QA', 'Engineer'),
        ('product.manager@example.com', 'Product', 'Manager'),
        ('ux.designer@example.com', 'UX', 'Designer')
    ON CONFLICT (email) DO NOTHING
    RETURNING id
)
INSERT INTO user_service.migration_000008_users (user_id)
SELECT id
FROM created;

-- Add corresponding profiles. Contacts are not added: 000009 comes later and copies these users' addresses with all
-- others. Where this branch arrives after 000009, the users have no contacts, like any user added after it.
WITH created AS (
    INSERT INTO user_service.user_profiles (
        user_id,
        bio,
        location,
        timezone
    )
    SELECT
        u.id,
        t.bio,
        t.location,
        'America/Los_Angeles'
    FROM user_service.users u
    JOIN (VALUES
        ('dev.tester@example.com', 'Software Developer specializing in backend systems', 'San Francisco, CA'),
        ('qa.engineer@example.com', 'Quality Assurance Engineer with 5+ years experience', 'New York, NY'),
        ('product.manager@example.com', 'Product Manager focused on user experience', 'Austin, TX'),
        ('ux.designer@example.com', 'UX Designer passionate about user-centered design', 'Seattle, WA')
    ) AS t (email, bio, location) ON t.email = u.email
    ON CONFLICT (user_id) DO NOTHING
    RETURNING id
)
INSERT INTO user_service.migration_000008_profiles (profile_id)
SELECT id
FROM created;

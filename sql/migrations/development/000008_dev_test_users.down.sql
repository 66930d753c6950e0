-- newel: lossy user_service.users changes made to the test users since are lost with them
-- newel: lossy user_service.user_profiles profiles of the test users are lost, and those this revision gave to others
-- newel: lossy user_service.user_settings settings of the test users are lost
-- Migration Rollback: 000008_dev_test_users
-- Description: Remove the test users; runs in the development environment only
-- Created: 2026-11-22

-- Corrected: the page deleted users by their address, also those that the up file had found there and skipped. This
-- file goes by the record that the up file kept. A test user who has activities stops it at its first statement
-- (SQLSTATE 23503): the log does not lose rows with a user, and which of them may go is for a person to decide.

-- Remove the test users that the up file created; their profiles, settings and contacts go with them
DELETE FROM user_service.users u
USING user_service.migration_000008_users m
WHERE u.id = m.user_id;

-- Remove the profiles that the up file gave to users who were there before it
DELETE FROM user_service.user_profiles p
USING user_service.migration_000008_profiles m
WHERE p.id = m.profile_id;

DROP TABLE user_service.migration_000008_profiles;

DROP TABLE user_service.migration_000008_users;

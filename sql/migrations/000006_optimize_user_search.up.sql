-- Migration: 000006_optimize_user_search
-- Description: Add indexes for user search and filtering performance
-- Created: 2026-11-22

-- CREATE INDEX CONCURRENTLY lets writes go on and cannot run in a transaction block (SQLSTATE 25001), so the
-- statements of this file run one by one.
-- Corrected: no IF NOT EXISTS. A build that is broken off leaves an INVALID index, which IF NOT EXISTS takes for the
-- index and passes over. Under psql, drop an INVALID index (DROP INDEX CONCURRENTLY) and go on from its statement.

-- Composite index for name searches: equality on last_name, and sorting by last_name, first_name
CREATE INDEX CONCURRENTLY idx_users_name_search
    ON user_service.users (last_name, first_name);

-- Added: last_name LIKE 'Smith%' cannot use the index above unless the database's collation is C, because other
-- collations do not sort by character. The operator class compares character by character in any collation.
CREATE INDEX CONCURRENTLY idx_users_last_name_prefix
    ON user_service.users (last_name varchar_pattern_ops);

-- Partial index for active users only
-- Corrected: the predicate compared created_at with CURRENT_TIMESTAMP, which is refused (SQLSTATE 42P17): an index
-- predicate must give the same answer for a row at any time. "Active" is what 000003 made it, a user who is not
-- deleted; the query's own range on created_at picks the recent ones. A query can use this index if it says
-- deleted_at IS NULL.
CREATE INDEX CONCURRENTLY idx_users_active_recent
    ON user_service.users (created_at DESC)
    WHERE deleted_at IS NULL;

-- Index for email domain analysis
CREATE INDEX CONCURRENTLY idx_users_email_domain
    ON user_service.users ((split_part(email, '@', 2)));

-- Index for user profiles search
CREATE INDEX CONCURRENTLY idx_user_profiles_location
    ON user_service.user_profiles (location)
    WHERE location IS NOT NULL;

CREATE INDEX CONCURRENTLY idx_user_profiles_website
    ON user_service.user_profiles (website)
    WHERE website IS NOT NULL;

-- Add comments
COMMENT ON INDEX user_service.idx_users_name_search IS 'Optimizes user name searches and sorting';
COMMENT ON INDEX user_service.idx_users_last_name_prefix IS 'Optimizes searches for the beginning of a last name';
COMMENT ON INDEX user_service.idx_users_active_recent IS 'Optimizes queries for recently active users';
COMMENT ON INDEX user_service.idx_users_email_domain IS 'Supports email domain analytics';

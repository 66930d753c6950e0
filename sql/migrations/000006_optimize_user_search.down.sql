-- Migration Rollback: 000006_optimize_user_search
-- Description: Remove performance optimization indexes
-- Created: 2026-11-22

-- Corrected: the drops are CONCURRENTLY too. A plain DROP INDEX takes an ACCESS EXCLUSIVE lock on the table: it
-- waits for every transaction that uses the table, and all reads and writes that come later wait behind it.
DROP INDEX CONCURRENTLY user_service.idx_user_profiles_website;
DROP INDEX CONCURRENTLY user_service.idx_user_profiles_location;
DROP INDEX CONCURRENTLY user_service.idx_users_email_domain;
DROP INDEX CONCURRENTLY user_service.idx_users_active_recent;
DROP INDEX CONCURRENTLY user_service.idx_users_last_name_prefix;
DROP INDEX CONCURRENTLY user_service.idx_users_name_search;

-- newel: lossy user_service.users every user is lost with the table
-- Migration Rollback: 000001_create_users
-- Description: Remove the users table and the service's schema
-- Created: 2026-11-22

-- Neither statement says CASCADE: what somebody else has put into the schema stops this file (SQLSTATE 2BP01) and is
-- not dropped along with it.
DROP TABLE user_service.users;

DROP SCHEMA user_service;

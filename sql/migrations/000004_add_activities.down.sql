-- newel: lossy user_service.activities the activity log is lost with the table
-- Migration Rollback: 000004_add_activities
-- Description: Remove the activity log
-- Created: 2026-11-22

DROP TABLE user_service.activities;

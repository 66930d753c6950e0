-- newel: lossy user_service.user_settings every setting is lost with the table
-- Migration Rollback: 000002_add_user_settings
-- Description: Remove the user settings table
-- Created: 2026-11-22

DROP TABLE user_service.user_settings;

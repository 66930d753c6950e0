-- newel: lossy user_service.user_profiles every profile is lost with the table
-- Migration Rollback: 000005_add_user_profiles
-- Description: Remove user profiles table
-- Created: 2026-11-22

-- The table takes its indexes, constraints and sequence along.
-- Corrected: no CASCADE, which is not needed for those and would also drop views and foreign keys that others have
-- built on the table since; and no IF EXISTS, which would hide that the table is gone.
DROP TABLE user_service.user_profiles;

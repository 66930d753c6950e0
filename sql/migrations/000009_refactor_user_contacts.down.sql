-- newel: lossy user_service.user_contacts contacts added or changed since, and the times they were verified, are lost
-- Migration Rollback: 000009_refactor_user_contacts
-- Description: Rollback contact information refactoring
-- WARNING: This will lose contact verification data
-- Created: 2026-11-22

-- Corrected: nothing is written to users.email and user_profiles.phone. The up file copied them and left them in place,
-- so they hold what they should. The page overwrote them with the primary contacts: an address that the user has
-- changed since would fall back to the old copy, of two primary contacts any would win, and one that is another user's
-- address would break the rollback (SQLSTATE 23505).

-- The table takes its indexes, constraints and sequence along
DROP TABLE user_service.user_contacts;

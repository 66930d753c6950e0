-- Migration: 000003_add_soft_delete_to_users
-- Description: Mark users as deleted without removing their rows
-- Created: 2026-11-22

-- Nullable columns without a default: PostgreSQL changes the catalog only and does not rewrite the table.
ALTER TABLE user_service.users
    ADD COLUMN deleted_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN deleted_by INTEGER;

-- Built in the same transaction, because users is small at this point. Writes to users wait while it is built; on a
-- large table such an index is a revision of its own with CONCURRENTLY, as in 000006.
CREATE INDEX idx_users_not_deleted
    ON user_service.users (id)
    WHERE deleted_at IS NULL;

COMMENT ON COLUMN user_service.users.deleted_at IS 'When the user was deleted; NULL for an active user';
COMMENT ON COLUMN user_service.users.deleted_by IS 'users.id of whoever deleted the user, NULL for the system';

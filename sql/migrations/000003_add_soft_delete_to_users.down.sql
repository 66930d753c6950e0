-- newel: lossy user_service.users.deleted_at users marked as deleted become active users again
-- newel: lossy user_service.users.deleted_by who deleted them is forgotten
-- Migration Rollback: 000003_add_soft_delete_to_users
-- Description: Remove the soft delete columns of users
-- Created: 2026-11-22

-- No row is removed: the rows of deleted users were there before this revision.
DROP INDEX user_service.idx_users_not_deleted;

ALTER TABLE user_service.users
    DROP COLUMN deleted_by,
    DROP COLUMN deleted_at;

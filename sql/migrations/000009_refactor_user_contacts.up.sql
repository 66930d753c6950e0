-- Migration: 000009_refactor_user_contacts
-- Description: Extract contact information into separate table
-- Created: 2026-11-22

-- Create contacts table
CREATE TABLE user_service.user_contacts (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user_service.users(id) ON DELETE CASCADE,
    contact_type VARCHAR(20) NOT NULL CHECK (contact_type IN ('email', 'phone', 'address')),
    contact_value TEXT NOT NULL,
    -- Corrected: NOT NULL. The page sorts by is_primary DESC, which puts NULL before true.
    is_primary BOOLEAN NOT NULL DEFAULT false,
    verified_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,

    UNIQUE (user_id, contact_type, contact_value),
    CONSTRAINT chk_contact_value_not_empty CHECK (length(trim(contact_value)) > 0)
);

-- Create indexes
-- Corrected: idx_user_contacts_user_id is left out. The index of UNIQUE (user_id, contact_type, contact_value) begins
-- with user_id and finds a user's contacts just as well.
CREATE INDEX idx_user_contacts_type ON user_service.user_contacts (contact_type);
CREATE INDEX idx_user_contacts_primary ON user_service.user_contacts (user_id, is_primary);

COMMENT ON TABLE user_service.user_contacts IS 'Ways to reach a user: email addresses, phone numbers, postal addresses';

-- Migrate existing email data
-- Corrected: blank values are left out here and below. users.email may be '' and phone may be '  ', and
-- chk_contact_value_not_empty would refuse the whole revision for one such row (SQLSTATE 23514).
INSERT INTO user_service.user_contacts (
    user_id,
    contact_type,
    contact_value,
    is_primary,
    verified_at
)
SELECT
    id,
    'email',
    email,
    true,
    created_at  -- Assume emails were verified at account creation
FROM user_service.users
WHERE length(trim(email)) > 0;

-- Migrate phone data from profiles (the column comes from 000005)
INSERT INTO user_service.user_contacts (
    user_id,
    contact_type,
    contact_value,
    is_primary
)
SELECT
    user_id,
    'phone',
    phone,
    true
FROM user_service.user_profiles
WHERE length(trim(phone)) > 0;

-- users.email and user_profiles.phone stay as they are; a later revision may remove them

-- Log migration results
DO $$
DECLARE
    emails_migrated INTEGER;
    phones_migrated INTEGER;
BEGIN
    SELECT COUNT(*) INTO emails_migrated
    FROM user_service.user_contacts
    WHERE contact_type = 'email';

    SELECT COUNT(*) INTO phones_migrated
    FROM user_service.user_contacts
    WHERE contact_type = 'phone';

    RAISE NOTICE 'Contact migration completed: % emails, % phones migrated',
                emails_migrated, phones_migrated;
END $$;

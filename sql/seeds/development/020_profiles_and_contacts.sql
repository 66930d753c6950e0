-- Seed: development/020_profiles_and_contacts
-- Description: Profiles and contacts of the users in 010_users.csv, and one who is deleted

-- Every theme occurs, so that each can be looked at.
INSERT INTO user_service.user_profiles (user_id, bio, location, phone, theme)
SELECT u.id, p.bio, p.location, p.phone, p.theme
FROM (VALUES
    ('ada.martin@example.com', 'Reads the log first', 'Lisbon', '+1 555 0100', 'dark'),
    ('jose.garcia@example.com', NULL, 'Madrid', NULL, 'light'),
    ('mary.oneill@example.com', 'Prefers the phone', NULL, '+1 555 0101', 'auto'),
    ('deleted.user@example.com', NULL, NULL, NULL, 'light')
) AS p (email, bio, location, phone, theme)
JOIN user_service.users u ON u.email = p.email
ON CONFLICT (user_id) DO NOTHING;

-- A contact for each address and number, as 000009 made them for the users that were there then.
INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value, is_primary)
SELECT u.id, c.contact_type, c.contact_value, true
FROM user_service.users u
LEFT JOIN user_service.user_profiles p ON p.user_id = u.id
CROSS JOIN LATERAL (VALUES ('email', u.email), ('phone', p.phone)) AS c (contact_type, contact_value)
WHERE u.email IN ('ada.martin@example.com', 'jose.garcia@example.com', 'mary.oneill@example.com')
  AND c.contact_value IS NOT NULL
ON CONFLICT (user_id, contact_type, contact_value) DO NOTHING;

-- A deleted user, for looking at lists that must not show one. Only once: the time is that of the first run.
UPDATE user_service.users
SET deleted_at = CURRENT_TIMESTAMP
WHERE email = 'deleted.user@example.com' AND deleted_at IS NULL;

-- Seed: base/010_support_account
-- Description: The account that support answers from, in every environment

-- Found again by its address. DO NOTHING: a name that somebody has changed since stays as it is.
INSERT INTO user_service.users (email, first_name, last_name)
VALUES ('support@example.com', 'Customer', 'Support')
ON CONFLICT (email) DO NOTHING;

-- Every user has a profile since 000007, and a primary contact since 000009; users added later bring their own.
INSERT INTO user_service.user_profiles (user_id, bio, timezone)
SELECT id, 'Answers questions of users', 'UTC'
FROM user_service.users
WHERE email = 'support@example.com'
ON CONFLICT (user_id) DO NOTHING;

INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value, is_primary)
SELECT id, 'email', email, true
FROM user_service.users
WHERE email = 'support@example.com'
ON CONFLICT (user_id, contact_type, contact_value) DO NOTHING;

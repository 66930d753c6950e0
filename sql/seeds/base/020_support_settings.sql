-- Seed: base/020_support_settings
-- Description: What the application reads from the support account's settings

-- DO UPDATE: these values belong to the repository, so a run puts back what was changed by hand. The WHERE leaves a row
-- alone that is as it should be; without it every run would write all of them.
INSERT INTO user_service.user_settings AS was (user_id, setting_key, setting_value)
SELECT u.id, s.setting_key, s.setting_value
FROM user_service.users u
CROSS JOIN (VALUES
    ('language', '"en"'::jsonb),
    ('signature', '"Your support team"'::jsonb)
) AS s (setting_key, setting_value)
WHERE u.email = 'support@example.com'
ON CONFLICT (user_id, setting_key) DO UPDATE
    SET setting_value = EXCLUDED.setting_value, updated_at = CURRENT_TIMESTAMP
    WHERE was.setting_value IS DISTINCT FROM EXCLUDED.setting_value;

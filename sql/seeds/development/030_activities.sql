-- Seed: development/030_activities
-- Description: A few activities, so that the log is not empty

-- The log has no unique key for ON CONFLICT to go by, so the query leaves out what is there. Rows that are not offered
-- are not counted as skipped.
INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id, description, metadata)
SELECT u.id, a.activity_type, 'users', u.id, a.description, a.metadata
FROM (VALUES
    ('ada.martin@example.com', 'login', 'Logged in', '{"from": "seed"}'::jsonb),
    ('ada.martin@example.com', 'profile_updated', 'Chose the dark theme', '{"from": "seed"}'::jsonb),
    ('jose.garcia@example.com', 'login', 'Logged in', '{"from": "seed"}'::jsonb)
) AS a (email, activity_type, description, metadata)
JOIN user_service.users u ON u.email = a.email
WHERE NOT EXISTS (
    SELECT 1
    FROM user_service.activities there
    WHERE there.user_id = u.id
      AND there.activity_type = a.activity_type
      AND there.metadata @> '{"from": "seed"}'
);

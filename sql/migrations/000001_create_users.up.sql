-- Migration: 000001_create_users
-- Description: Create the service's schema and its users table
-- Created: 2026-11-22

-- Plain CREATE, here and in every revision that runs in a transaction: IF NOT EXISTS would pass over an object of the
-- same name, whatever it looks like, and the down file would then drop what this file never made. A schema that is
-- there already stops this revision with SQLSTATE 42P06.
CREATE SCHEMA user_service;

COMMENT ON SCHEMA user_service IS 'Tables of the user service';

CREATE TABLE user_service.users (
    id SERIAL PRIMARY KEY,
    email VARCHAR(255) UNIQUE NOT NULL,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

COMMENT ON TABLE user_service.users IS 'People who have an account';
COMMENT ON COLUMN user_service.users.email IS 'Address the user logs in with';

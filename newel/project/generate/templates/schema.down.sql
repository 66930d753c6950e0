-- Migration Rollback: {{number}}_{{name}}
-- Description: Remove schema {{new_schema}}
-- Created: {{date}}

-- No CASCADE: what somebody has put into the schema since stops this file (SQLSTATE 2BP01) and is not dropped along.
DROP SCHEMA {{new_schema}};

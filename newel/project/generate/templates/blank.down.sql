-- Migration Rollback: {{number}}_{{name}}
-- Description: Undo {{name}}
-- Created: {{date}}


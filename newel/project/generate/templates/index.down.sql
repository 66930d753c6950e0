-- Migration Rollback: {{number}}_{{name}}
-- Description: Remove index {{index}} of {{table}}
-- Created: {{date}}

-- A plain DROP INDEX would wait for every transaction that uses the table, and all reads and writes that come later
-- would wait behind it.
DROP INDEX CONCURRENTLY {{table_schema}}.{{index}};

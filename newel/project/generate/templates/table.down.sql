-- newel: lossy {{new_table}} every row is lost with the table
-- Migration Rollback: {{number}}_{{name}}
-- Description: Remove table {{new_table}}
-- Created: {{date}}

-- The table takes its indexes, constraints and sequence along. No CASCADE: it would also drop the views and foreign
-- keys that others have built on the table since.
DROP TABLE {{new_table}};

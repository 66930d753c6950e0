-- newel: lossy {{table}}.{{column}} what this revision has written is replaced by what was there before
-- Migration Rollback: {{number}}_{{name}}
-- Description: Put back what {{name}} changed in {{table}}
-- Created: {{date}}

-- A value that was changed since stays. Values are compared as text, which every type has.
UPDATE {{table}} t
SET {{column}} = r.{{old_value}}
FROM {{record}} r
WHERE {{same_key:r}}
  AND t.{{column}}::text IS NOT DISTINCT FROM r.{{new_value}}::text;

DROP TABLE {{record}};

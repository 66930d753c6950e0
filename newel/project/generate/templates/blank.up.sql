-- Migration: {{number}}_{{name}}
-- Description: {{description}}
-- Created: {{date}}


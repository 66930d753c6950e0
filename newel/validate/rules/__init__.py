"""Rules about single statements, found in the parse tree. Each has its page in docs/rules/."""

"""SQL text: PostgreSQL's parser, statements, tokens, and names as SQL needs them written."""

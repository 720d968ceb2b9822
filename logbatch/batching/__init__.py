"""When a batch leaves, and what becomes of it."""

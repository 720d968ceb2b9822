"""A call becomes a line: what was logged, encoded once, on the caller's thread."""

"""The output of programs, as events."""

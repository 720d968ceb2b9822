"""The filter language, and what becomes of a filter."""

"""The filter language, and what a filter compiles to."""

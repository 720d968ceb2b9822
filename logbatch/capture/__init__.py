"""Run programs: their logs, and what they print, become events."""

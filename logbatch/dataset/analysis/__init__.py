"""What a log tells as a whole: volume over time, frequent values, errors, patterns."""

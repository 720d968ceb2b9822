"""The format of what is stored: its columns, its lines, its files."""

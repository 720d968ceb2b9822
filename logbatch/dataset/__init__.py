"""What was written: its columns, its files, and how to read them."""

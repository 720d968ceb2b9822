"""Running a program so that what it logs and prints is kept."""

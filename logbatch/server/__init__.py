"""The receiver: takes batches over HTTP and writes the same files as the library does."""

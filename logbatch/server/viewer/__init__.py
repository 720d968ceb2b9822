"""The viewer: a page in the browser on what stands in one directory, live and at any size."""

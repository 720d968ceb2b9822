"""Send batches to an HTTP endpoint."""

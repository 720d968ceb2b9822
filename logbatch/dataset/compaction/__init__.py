"""What a compaction is made of; `logbatch.dataset.compact` puts it together."""

"""What the receiver counts, for Prometheus.  No label ever holds a text from the wire."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from logbatch.transports.base import Tidied

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one receiver, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "logbatch_receiver_requests",
            "Requests answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "logbatch_receiver_request_seconds",
            "Time from the headers to the answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.records = self._count("records", "Records stored.")
        self.duplicates = self._count("duplicates", "Records that were there already.")
        self.rejected = self._count("rejected", "Entries refused.")
        self.received = self._count("received_bytes", "Bytes of bodies, as they were sent.")
        self.inflated = self._count("inflated_bytes", "Bytes of bodies, inflated.")
        self._merges = self._count("merges", "Files made of small ones.")
        self._merged_files = self._count("merged_files", "Small files that were merged.")
        self._merged_bytes = self._count("merged_bytes", "Size of the files made of small ones.")
        self._merge_seconds = self._count("merge_seconds", "Processor time that merging took.")

    def _count(self, name: str, text: str) -> Counter:
        return Counter(f"logbatch_receiver_{name}", text, registry=self._registry)

    def add_tidied(self, done: Tidied) -> None:
        """Count what was done to keep files in order."""
        self._merges.inc(done.merges)
        self._merged_files.inc(done.files)
        self._merged_bytes.inc(done.bytes)
        self._merge_seconds.inc(done.seconds)

    def show(self) -> bytes:
        """Return all of them in Prometheus's text format."""
        return generate_latest(self._registry)

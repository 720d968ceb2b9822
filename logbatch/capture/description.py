"""What whoever comes later must know of a run to go on with it: `run.json` in its spool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

import msgspec

from logbatch.disk import publish
from logbatch.events.context import host_name, service_name
from logbatch.options import BatchOptions
from logbatch.storage.executions import INLINE_BYTES, Execution

_FILE = "run.json"


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How events of a run are made, whoever makes them: options of a handler.

    Attributes:
        redact_patterns: Each with its flags.
    """

    service: str | None = None
    host: str | None = None
    max_value_bytes: int = 1 << 20
    redact: tuple[str, ...] = ()
    redact_patterns: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, options: BatchOptions) -> Self:
        """Take it from the options of a batcher."""
        return cls(
            service=service_name() if options.service is None else options.service,
            host=host_name() if options.host is None else options.host,
            max_value_bytes=options.max_value_bytes,
            redact=options.redact,
            redact_patterns=tuple((each.pattern, each.flags) for each in options.redact_patterns),
        )

    def options(self) -> dict[str, Any]:
        """Return it as keywords of a handler."""
        patterns = [re.compile(pattern, flags) for pattern, flags in self.redact_patterns]
        return {**msgspec.structs.asdict(self), "redact_patterns": patterns}


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What is run.

    Attributes:
        run_id: The run.
        command: What is run, as one would type it in a shell.
        started_at: When it began, in seconds since the epoch.
        host: The machine.
        pid: The process that was started.
        producers: Under which its events go out, the newest last.
        rows: The file of the record of runs; None where there is none.
        keep_output: Whether that has the output, too.
        inline_bytes: How much of each stream stands in the row of the run.
        progress: Regular expressions that find progress.
        making: How its events are made.
    """

    run_id: str
    command: str
    started_at: float
    host: str
    pid: int
    producers: tuple[str, ...] = ()
    rows: str | None = None
    keep_output: bool = True
    inline_bytes: int = INLINE_BYTES
    progress: tuple[str, ...] = ()
    making: Making = Making()

    def write(self, spool: Path) -> None:
        """Write it into a spool.

        Raises:
            OSError: The disk does not take it.
        """
        publish(spool / _FILE, [msgspec.json.encode(self)])

    @classmethod
    def read(cls, spool: Path) -> Description:
        """Read it from a spool.

        Raises:
            ValueError: It is damaged.
            OSError: It cannot be read.
        """
        return msgspec.json.decode((spool / _FILE).read_bytes(), type=cls)

    def execution(self) -> Execution:
        """Return the run as the record of runs has it."""
        return Execution(self.run_id, self.command, self.started_at, self.host, self.pid)

"""The pump: what a child prints goes on to our own output, as it came, and into the spool.

It never looks at what it passes on, and waits for nobody but whom the child would wait for: who
reads our output, and, when the spool holds as much as it may, those who take from it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import time
from collections.abc import Callable, Mapping

from logbatch.capture.child import Child, count_waiting
from logbatch.capture.spool import Spool
from logbatch.capture.terminal import KEYS, lending_keys

_READ = 1 << 18  # bytes
_LOOK = 0.2  # seconds between two looks whether the child has ended though its output has not
_LINGER = 2.0  # seconds for which what it left behind is listened to after its end

_KEYS = "keys"
_TYPED = 4096  # bytes of what is typed that are taken at once

Report = Callable[[str, str], object]


class Pump:
    """Passes on the output of one child, on the thread that calls it.

    Args:
        child: Whose output.
        spool: Where it is kept.
        echo: The descriptors to which each stream is written as it came.
        wake: Called when there is more in the spool.
        wait_for_room: Called before each piece is read, with the position it will have.
        interrupted: Returns whether somebody pressed Ctrl-C.
        report: Called (kind, text) where something goes wrong.

    Attributes:
        lost: How many bytes the spool did not take.
    """

    def __init__(
        self,
        child: Child,
        spool: Spool,
        *,
        echo: Mapping[str, int],
        wake: Callable[[], object],
        wait_for_room: Callable[[int], object],
        interrupted: Callable[[], bool],
        report: Report,
    ) -> None:
        self.lost = 0
        self._keys = b""  # what was typed, and not passed on yet
        self._child = child
        self._spool = spool
        self._echo = dict(echo)
        self._wake = wake
        self._wait_for_room = wait_for_room
        self._interrupted = interrupted
        self._report = report

    def run(self) -> None:
        """Pass on all there is, until the child has ended and nobody writes any more.

        Raises:
            KeyboardInterrupt: Somebody pressed Ctrl-C; this may be called again.
        """
        terminal = self._child.terminal
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for descriptor, stream in self._child.outputs.items():
                selector.register(descriptor, selectors.EVENT_READ, stream)
            if terminal is not None and stack.enter_context(lending_keys(terminal)):
                selector.register(KEYS, selectors.EVENT_READ, _KEYS)
            self._pass_on_all(selector)

    def _pass_on_all(self, selector: selectors.BaseSelector) -> None:
        look = time.monotonic() + _LOOK
        ended: float | None = None
        while self._child.outputs:
            if self._interrupted():
                raise KeyboardInterrupt
            for key, ready in selector.select(_LOOK):
                if key.data == _KEYS:
                    self._take_keys(selector)
                    continue
                if ready & selectors.EVENT_WRITE:
                    self._pass_on_keys(selector)
                if ready & selectors.EVENT_READ and not self._pass_on(key.fd, key.data):
                    selector.unregister(key.fd)
                    self._child.close_output(key.fd)
            now = time.monotonic()
            if ended is None and now >= look:  # also while something prints all the time
                look = now + _LOOK
                ended = now if self._child.returncode is not None else None
            if ended is not None and now > ended + _LINGER:
                self._leave_behind()
                return

    def _leave_behind(self) -> None:
        """Pass on what was printed up to now, of which some may be the command's, and no more."""
        for descriptor, stream in list(self._child.outputs.items()):
            left = count_waiting(descriptor)
            while left > 0 and (data := self._read(descriptor)):
                left -= len(data)
                if not self._take(stream, data):
                    break
        self._report(
            "output",
            "the command has ended, but what it has started still holds its output;"
            " what that prints from now on is not kept",
        )

    def _take_keys(self, selector: selectors.BaseSelector) -> None:
        """Take what was typed; more is taken when the command's terminal has taken that."""
        try:
            self._keys = os.read(KEYS, _TYPED)
        except OSError:
            self._keys = b""
        selector.unregister(KEYS)
        self._watch_terminal(selector, bool(self._keys))

    def _pass_on_keys(self, selector: selectors.BaseSelector) -> None:
        """Pass on as much of what was typed as the command's terminal takes now."""
        terminal = self._child.terminal
        assert terminal is not None
        os.set_blocking(terminal, False)  # or both would wait for one another
        try:
            self._keys = self._keys[os.write(terminal, self._keys) :]
        except BlockingIOError:
            return
        except OSError:  # nobody has it open any more
            self._keys = b""
        finally:
            os.set_blocking(terminal, True)
        if not self._keys:
            self._watch_terminal(selector, False)
            selector.register(KEYS, selectors.EVENT_READ, _KEYS)

    def _watch_terminal(self, selector: selectors.BaseSelector, has_keys: bool) -> None:
        terminal = self._child.terminal
        if terminal in self._child.outputs:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if has_keys else 0)
            selector.modify(terminal, wanted, self._child.outputs[terminal])

    def _pass_on(self, descriptor: int, stream: str) -> bool:
        """Pass on what is there of a stream; return whether there may be more."""
        data = self._read(descriptor)
        return bool(data) and self._take(stream, data)

    def _read(self, descriptor: int) -> bytes:
        self._wait_for_room(self._spool.end)
        try:
            return os.read(descriptor, _READ)
        except OSError as error:
            if error.errno != errno.EIO:  # so a terminal says that nobody has it open any more
                raise
            return b""

    def _take(self, stream: str, data: bytes) -> bool:
        """Keep and show a piece; return whether somebody wants more."""
        self._keep(stream, data)
        return self._write(stream, data)

    def _keep(self, stream: str, data: bytes) -> None:
        try:
            self._spool.write(stream, data, time.time())
        except OSError as error:
            self.lost += len(data)
            self._report(
                "spool",
                f"cannot keep what the command prints in {self._spool.directory}"
                f" ({error.strerror}); it is shown, but not stored; free disk space",
            )
        else:
            self._wake()

    def _write(self, stream: str, data: bytes) -> bool:
        """Write to our own stream; return False where nobody reads it, as the child must learn."""
        descriptor = self._echo.get(stream)
        if descriptor is None:
            return True
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:  # somebody who has the same terminal open made it so
                with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
                    selector.register(descriptor, selectors.EVENT_WRITE)
                    selector.select(_LOOK)
            except BrokenPipeError:
                return False
            except OSError as error:
                self._echo.pop(stream)
                self._report("output", f"cannot write to {stream} ({error.strerror})")
                return True
        return True

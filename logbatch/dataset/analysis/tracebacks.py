"""Stack traces as they are stored, taken apart again: which exceptions were raised, and where.

What Python prints is read, with its chains, groups, notes and syntax errors, also where the middle
was cut out of it; and what `faulthandler` prints, of the thread that crashed.

A message may hold anything, text that looks like a traceback too; so frames count only below the
line that announces them, and that line only where Python prints it.

Any text can be read, in a time that grows with its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from logbatch.events.stacktrace import CAUSE, CONTEXT, HEADER, STACK_HEADER

Frame = tuple[str, str]
"""The file and the function; of a syntax error the function is empty."""

_LONGEST = 8192  # characters of a line that may be a frame
_FRAME = re.compile(r'  File "(.*)", line [0-9]+(?:, in (.*))?')
_KIND = re.compile(r"([^\W\d][\w.<>]*)(?:: |:?$)")
_GROUP_HEADERS = f"+ Exception Group {HEADER}", f"Exception Group {HEADER}"
_SEPARATOR = re.compile(r"[ |]*\+[-+]*-{16}")
_MEMBER = re.compile(r"-{16} (?:[0-9]+|\.\.\.) -{16}$")
_GUTTER = re.compile(r" {2,}\|(?: {3}\|)*(?: |$)")
_CUT = "…[cut: "
CRASH = "(most recent call first):"
CRASHES = "Fatal Python error: ", "Windows fatal exception: "
"""How what `faulthandler` prints begins."""
_CRASHED_FRAME = re.compile(r'  File "(.*)", line [0-9]+ in (.*)')
_BEFORE = {CAUSE.strip(), CONTEXT.strip(), '"""'}  # the last are the quotes of `multiprocessing`
_NOT_EVERYWHERE = {"<listcomp>", "<dictcomp>", "<setcomp>"}  # of no frame since Python 3.12


@dataclass(slots=True)
class Raised:
    """One exception of a stack trace.

    Attributes:
        type: As printed; None where that is not known.
        frames: Each once, as recursion may go to any depth; the outermost first.
        is_member: Whether it is one of a group.
    """

    type: str | None = None
    frames: dict[Frame, None] = field(default_factory=dict)
    is_member: bool = False

    def add(self, path: str, function: str | None) -> None:
        """Add a frame, but for those that only some versions of Python have."""
        if function not in _NOT_EVERYWHERE:
            self.frames[path, function or ""] = None


def read_traceback(text: str) -> list[Raised]:
    """Return the exceptions of a stack trace that Python printed, in the order of the text.

    Returns:
        An empty list where there is none that has frames.
    """
    text = text.replace("\r\n", "\n")
    if CRASH in text and (crash := _read_crash(text)) is not None:
        return [crash]
    found = _read(text)
    if not found and (at := text.find(f"\n{HEADER}\n")) >= 0:  # behind what something else wrote
        found = _read(text[at + 1 :])
    return found


def _read_crash(text: str) -> Raised | None:
    """Return the crash that `faulthandler` told; None where it has no frames."""
    lines = text.split("\n")
    heads = [at for at, line in enumerate(lines) if line.endswith(CRASH)]
    own = [at for at in heads if lines[at].startswith("Current thread")]
    frames: list[Frame] = []
    for line in lines[(own or heads or [len(lines)])[0] + 1 :]:
        found = _CRASHED_FRAME.fullmatch(line) if len(line) < _LONGEST else None
        if found is None:
            break
        frames.append((found[1], found[2]))
    first = lines[0] if lines[0].startswith(CRASHES) else None
    return Raised(first, dict.fromkeys(reversed(frames))) if frames else None


def _read(text: str) -> list[Raised]:
    reader = _Reader()
    for line in _lines(text):
        reader.feed(line)
    found = [each for each in reader.found if each.type is not None or each.frames]
    return found if any(each.frames for each in found) else []


def _lines(text: str) -> list[str]:
    """Return the lines, without what marks those of a group."""
    lines = text.split("\n")
    if "  +-" not in text:
        return lines
    return [line[found.end() :] if (found := _GUTTER.match(line)) else line for line in lines]


class _Reader:
    """Reads line by line."""

    def __init__(self) -> None:
        self.found: list[Raised] = []
        self._at_start = True  # whether an exception may begin on the next line
        self._in_frames = False
        self._in_group = False
        self._is_torn = False  # whether the next line has lost its beginning

    def feed(self, line: str) -> None:
        """Read the next line."""
        if self._is_torn:
            self._is_torn = False
        elif line.startswith(_CUT):
            self._go_on_after_cut()
        elif _SEPARATOR.match(line):
            self._in_group = _MEMBER.search(line) is not None
            self._in_frames, self._at_start = False, True
        elif self._in_frames:
            self._read_frame(line)
        elif line.strip():
            self._read_other(line)

    def _read_frame(self, line: str) -> None:
        frame = _FRAME.fullmatch(line) if len(line) < _LONGEST else None
        if frame is not None and _CUT not in line:
            self.found[-1].add(*frame.groups())
        elif line and not line.startswith(" "):
            self._in_frames = False
            kind = _KIND.match(line)
            if kind is not None and self.found[-1].frames:
                self.found[-1].type = kind[1]

    def _read_other(self, line: str) -> None:
        may_begin, self._at_start = self._at_start, line in _BEFORE
        if not may_begin or line == STACK_HEADER:
            return
        if line == HEADER or line.strip() in _GROUP_HEADERS:
            self._begin()
        elif kind := _KIND.match(line):  # it was never raised, so it has no frames
            self.found.append(Raised(kind[1], is_member=self._in_group))

    def _begin(self) -> None:
        self.found.append(Raised(is_member=self._in_group))
        self._in_frames = True

    def _go_on_after_cut(self) -> None:
        """Go on behind the middle that was cut out, where frames may follow, or a message."""
        self._is_torn = True
        if not self._in_frames:
            self._begin()
        elif self.found[-1].frames:
            self.found[-1].frames.popitem()  # its name may be torn

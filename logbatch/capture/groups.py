"""Lines that belong together: a traceback, an indented continuation.

A line that is set in belongs to the one before.  Tracebacks have lines that are not, and blank ones
between: for each kind that is known (Python with causes and groups, `faulthandler`, Java and .NET,
Node, Go, Rust, PHP, Lua; Ruby's are set in) it is said which lines go on.  A traceback joins the
line before it if that says a level of WARNING or above, or announces it.

A group never holds more than `MOST_LINES` lines or `MOST_CHARACTERS`; what follows then begins
anew.  Whether a line is taken depends on nothing but the group's own lines, so reading can begin
again at the first line of any group and comes to the same groups.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from logbatch.capture.meaning import says_trouble
from logbatch.events.rendered import from_text
from logbatch.events.stacktrace import Failure

MOST_LINES = 2000
MOST_CHARACTERS = 1 << 17
_MOST_BLANK = 3
_NEAR, _NEAR_LINES = 500, 20  # where an exception's name is looked for

PLAIN, PYTHON, FAULT, JAVA, NODE, GO, RUST, PHP = range(8)

_HEADER = r"Traceback \(most recent call last\):"
_STARTS = (
    (
        PYTHON,
        re.compile(rf"{_HEADER}|Stack \(most recent call last\):|  \+ Exception Group {_HEADER}"),
    ),
    (PYTHON, re.compile(r'  File "[^"]{1,1000}", line \d+\Z')),  # a SyntaxError of the script
    (FAULT, re.compile(r"Fatal Python error: |(?:Current thread|Thread) 0x[0-9a-f]+ ")),
    (GO, re.compile(r"panic: |fatal error: |goroutine \d+ .{0,100}\[")),
    (
        RUST,
        re.compile(r"thread '[^']{0,200}' (?:\(\d+\) )?(?:panicked at |has overflowed its stack)"),
    ),
    (NODE, re.compile(r"(?:/|file:|node:|C:\\)\S{1,1000}:\d+\Z")),
)
_FIRST_LETTERS = frozenset("TS FCpfgt/n")
_TRACEBACK = re.compile(
    rf"{_HEADER}\Z|  \+ Exception Group {_HEADER}\Z|Stack \(most recent call last\):\Z"
)
_LAST_OF_PYTHON = re.compile(r"[^\W\d][\w.<>]{0,200}(?:: |:?\Z)")
_CHAIN = re.compile(r"During handling of the above exception|The above exception was the direct")
_GOES_ON = {
    FAULT: re.compile(
        r"(?:Current thread|Thread) 0x|Extension modules: |<no Python frame>|Python runtime state: "
        r"|Current thread's C stack"
    ),
    JAVA: re.compile(r"Caused by: |Suppressed: |--- End of|Node\.js v\d"),
    NODE: re.compile(
        r"\^{1,200}\Z|(?:Uncaught )?[\w.$]{0,100}(?:Error|Exception)\b|Node\.js v\d|Thrown at:"
    ),
    GO: re.compile(
        r"goroutine \d+ |created by |\[signal |\[originating|exit status \d|runtime: "
        r"|(?=.*\)\Z)[\w./*()\-\[\]{}]{1,500}\(|[a-z]\w{1,5} +0x[0-9a-f]+\Z|\.\.\."
    ),
    RUST: re.compile(r"note: |stack backtrace:|fatal runtime error: "),
    PHP: re.compile(r"#\d+ |Next |Stack trace:\Z"),
}
_FRAME = re.compile(
    r"\s{1,100}at (?:async |new )?(?:\S{1,500}:\d|[^\s(]{1,300}(?: \[as [^\]\s]{1,60}\])?"
    r"(?:\([^)]{0,300}\)| \([^)\s]{0,300}:\d+\)| \((?:<anonymous>|native|index \d+)\)))"
    r"|\s{1,100}from \S{1,500}:\d+:in |\s{1,100}\[C\]: "
)
_EXCEPTION = re.compile(
    r"(?:[\w$]{1,100}\.){1,20}[\w$]{0,100}(?:Exception|Error|Throwable)\b(?::|\Z| )"
)
_ANNOUNCES = re.compile(
    r"Exception (?:in|ignored)|Unhandled |Uncaught |Error in |Task exception|Future exception"
    r"|Failed to |.{0,200}never retrieved\Z"
)
_ABOUT_TASK = re.compile(r"(?:future|task|handle|transport|protocol): <")
_CLOSER = re.compile(r"[\])}]{1,20}[,;]?\Z")

_NAMED = re.compile(
    r"(?:^|[\s.])((?:[A-Za-z_$][\w$]{0,100}(?:\.|::|\\)){0,20}"
    r"(?:[A-Z][\w$]{0,100})?(?:Exception|Error|Throwable|Failure))(?: \[\w{1,60}\])?(?:: |\Z)"
)
_NAME_OF_RUBY = re.compile(r"[A-Z][\w:]{1,200}")
_NAMED_BY_PHP = re.compile(r"Uncaught ([\w\\]{1,200}): (.*) in \S{1,1000}:\d+\Z")
_NAMED_BY_PYTHON = re.compile(r"([^\W\d][\w.<>]{0,200})(?:: (.*))?\Z")


class Group:
    """Lines of one stream that make one event.

    Args:
        text: The first line.
        number: Its number in the stream.
        began: When its first byte was read.
        newest: When its last byte was read.

    Attributes:
        offset: Of its first byte in the stream.
        size: How many bytes the only line has, if `texts` has only its beginning.
        is_urgent: Whether it says something about progress.
        blanks: Blank lines behind it, when each was read; they belong to it if it goes on.
    """

    __slots__ = (
        *("_characters", "_is_closed", "_state", "began", "blanks", "is_urgent", "kind"),
        *("newest", "number", "offset", "size", "texts", "trace_at"),
    )

    def __init__(self, text: str, number: int, began: float, newest: float) -> None:
        self.texts = [text]
        self.number = number
        self.offset = -1
        self.began = began
        self.newest = newest
        self.size: int | None = None
        self.is_urgent = False
        self.blanks: list[float] = []
        self.kind = _kind_of(text)
        self.trace_at: int | None = None if self.kind in (PLAIN, NODE) else 0
        self._state = "final" if text.startswith("  +") else "frames"
        self._characters = len(text)
        self._is_closed = self.kind == PLAIN and _is_complete(text)

    def is_hungry(self) -> bool:
        """Return whether a line may belong to it that is neither set in nor begins a traceback."""
        return self.kind != PLAIN

    def lines(self) -> int:
        """Return how many lines it has, without blank ones behind it."""
        return len(self.texts)

    def take(self, text: str, began: float, newest: float) -> bool:
        """Take a line, if it belongs to the group."""
        if not text or text.isspace():
            return self._take_blank(text, began, newest)
        if self._is_closed or self._is_full(text) or not self._goes_on(text):
            return False
        self._characters += len(text) + len(self.blanks)
        self.texts += [""] * len(self.blanks)
        self.blanks.clear()
        self.texts.append(text)
        self.newest = newest
        return True

    def _take_blank(self, text: str, began: float, newest: float) -> bool:
        if self.kind == PLAIN or text or len(self.blanks) >= _MOST_BLANK:
            return False
        self.blanks.append(began)
        self.newest = newest
        return True

    def _is_full(self, text: str) -> bool:
        lines = len(self.texts) + len(self.blanks)
        return lines >= MOST_LINES or self._characters + len(text) > MOST_CHARACTERS

    def _goes_on(self, text: str) -> bool:
        is_set_in = text[0] in " \t"
        if self.kind == PLAIN and is_set_in and _kind_of(text) != PLAIN:
            return self._plain_goes_on(text)
        if self.kind == PYTHON:
            return self._python_goes_on(text, is_set_in)
        if is_set_in:
            self._note_frame(text)
            return True
        if _CLOSER.match(text):
            return len(self.texts) > 1 or self.texts[0].rstrip()[-1:] in tuple("{[(")
        if self.kind == PLAIN:
            return self._plain_goes_on(text)
        if self.kind == NODE and len(self.texts) == 1:
            return not self.blanks  # the line of source
        if self.kind == RUST and len(self.texts) == 1 and self.texts[0].endswith(":"):
            return True  # the message
        return _GOES_ON[self.kind].match(text) is not None

    def _python_goes_on(self, text: str, is_set_in: bool) -> bool:
        if _CHAIN.match(text):
            self._state = "chain"
            return True
        if _TRACEBACK.match(text):
            goes_on = self._state == "chain"
            self._state = "final" if text.startswith("  +") else "frames"
            return goes_on
        if is_set_in:
            return not self.blanks
        if self._state == "frames" and not self.blanks and _LAST_OF_PYTHON.match(text):
            self._state = "final"
            return True
        return False

    def _note_frame(self, text: str) -> None:
        if self.kind in (PLAIN, NODE) and _FRAME.match(text):
            if self.trace_at is None:
                self.trace_at = 0
            self.kind = JAVA

    def _plain_goes_on(self, text: str) -> bool:
        first = self.texts[0]
        if _TRACEBACK.match(text):
            if not (says_trouble(first) or _ANNOUNCES.match(first)):
                return False
            self._begin_trace(PYTHON)
            self._state = "final" if text.startswith("  +") else "frames"
            return True
        if _EXCEPTION.match(text):
            if not (says_trouble(first) or _ANNOUNCES.match(first)):
                return False
            self._begin_trace(PLAIN)
            return True
        if text == "Stack trace:" and "Uncaught" in first:
            self.kind, self.trace_at = PHP, 0
            return True
        if text == "stack traceback:":
            self.trace_at = 0
            return True
        return _ABOUT_TASK.match(text) is not None and first.endswith("never retrieved")

    def _begin_trace(self, kind: int) -> None:
        self.kind = kind
        if self.trace_at is None:
            self.trace_at = len(self.texts)

    def content(self, limit: int) -> Content:
        """Return message and exception.

        Args:
            limit: Most bytes of a stack trace.
        """
        at = self.trace_at
        if at is None:
            return Content("\n".join(self.texts), None, False)
        stack = "\n".join(self.texts[at:])
        is_stack_only = self.texts[at].startswith("Stack (")
        failure = Failure(None, None, stack) if is_stack_only else self._failure(stack, limit)
        if at:
            message = "\n".join(self.texts[:at])
        elif failure.type and _kind_of(self.texts[0]) in (PYTHON, NODE):
            message = f"{failure.type}: {failure.message}" if failure.message else failure.type
        else:
            message = self.texts[0]
        return Content(message, failure, not is_stack_only)

    def _failure(self, stack: str, limit: int) -> Failure:
        at = self.trace_at or 0
        if self.kind == PYTHON:
            failure = from_text(stack, limit)
            last = _NAMED_BY_PYTHON.match(self.texts[-1])
            if failure.type is None and last:
                failure = Failure(last[1], last[2] or "", failure.stacktrace)
            return failure
        first, _, rest = self.texts[at].partition(": ")
        if self.kind == GO:
            return Failure(
                "panic" if first in ("panic", "fatal error") else None, rest or None, stack
            )
        if self.kind == RUST:
            message = self.texts[at + 1] if rest == "" and len(self.texts) > at + 1 else None
            quoted = re.search(r"panicked at '(.*)', ", self.texts[at])
            return Failure("panic", quoted[1] if quoted else message, stack)
        if self.kind == FAULT:
            return Failure("Fatal Python error" if rest else None, rest or None, stack)
        return Failure(*self._find_name(at), stack)

    def _find_name(self, at: int) -> tuple[str | None, str | None]:
        """Find type and message of the exception: the first line that has them."""
        for text in self.texts[at : at + _NEAR_LINES]:
            if by_php := _NAMED_BY_PHP.search(text[:_NEAR]):
                return by_php[1], by_php[2]
            if named := _NAMED.search(text[:_NEAR]):
                return named[1], text[named.end() :]
            before, _, name = text.removesuffix(")").rpartition(" (")
            if _NAME_OF_RUBY.fullmatch(name) and ": " in before:
                return name, before.partition(": ")[2]
        return None, None


def _kind_of(text: str) -> int:
    if text[:1] in _FIRST_LETTERS:
        for kind, start in _STARTS:
            if start.match(text):
                return kind
    return PLAIN


class Content(NamedTuple):
    """What a group says.

    Attributes:
        message: The lines before the traceback; if there are none, its own message.
        failure: The exception; its stack trace are all lines of the traceback.
        is_error: Whether an exception was raised.
    """

    message: str
    failure: Failure | None
    is_error: bool


def _is_complete(text: str) -> bool:
    """Return whether nothing that follows can belong to a line."""
    return not text or text[0] in " \t" or (text[0] == "{" and text.endswith("}"))

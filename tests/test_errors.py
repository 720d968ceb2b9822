"""The exceptions: their tree, and what each of them carries."""

from __future__ import annotations

import inspect
import re

from logbatch import errors
from logbatch.errors import FilterError, LogbatchError, RejectedError, TemporaryError


def drawn() -> list[tuple[str, list[str]]]:
    """Read the tree in the module's docstring: each class with its bases, in order."""
    tree, above = [], [""] * 9
    pattern = re.compile(r"^    ([│├└─ ]*)([A-Z]\w+Error)(?: \((\w+)\))?", re.MULTILINE)
    for branch, name, second in pattern.findall(errors.__doc__ or ""):
        depth = len(branch) // 4
        above[depth] = name
        bases = [above[depth - 1] if depth else "Exception", second]
        tree.append((name, [base for base in bases if base]))
    return tree


def real(kind: type[BaseException] = LogbatchError) -> list[tuple[str, list[str]]]:
    """List the classes of the module as they are derived, each after its base."""
    below = [other for other in kind.__subclasses__() if other.__module__ == errors.__name__]
    own = (kind.__name__, [base.__name__ for base in kind.__bases__])
    return [own, *(entry for other in below for entry in real(other))]


def test_the_tree_is_drawn_as_it_is() -> None:
    """The docstring of `logbatch.errors` shows every exception under its base, in order."""
    assert real() == drawn()


def test_every_exception_is_in_the_tree() -> None:
    """The module defines no exception outside the tree, and each says what it is for."""
    defined = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException)
    }

    assert {name for name, _ in real()} | {"DatasetWarning"} == set(defined)
    assert "\n    DatasetWarning (UserWarning) " in (errors.__doc__ or "")
    assert [] == [name for name, kind in defined.items() if not kind.__doc__]


def test_a_temporary_error_says_when_to_try_again() -> None:
    """The wait that the destination asked for is optional."""
    plain, asked = TemporaryError("down"), TemporaryError("busy", retry_after=7.5)

    assert ("down", None) == (str(plain), plain.retry_after)
    assert ("busy", 7.5) == (str(asked), asked.retry_after)


def test_a_rejection_names_records_or_gives_one_reason() -> None:
    """A mapping is counted in the message, a text is the message."""
    some, whole = RejectedError({1: "too long", 3: "no user"}), RejectedError("too large")

    assert ("2 rejected", {1: "too long", 3: "no user"}) == (str(some), some.reasons)
    assert ("too large", "too large") == (str(whole), whole.reasons)


def test_a_rejection_keeps_its_own_copy() -> None:
    """A mapping that is changed afterwards does not change the answer."""
    reasons = {0: "bad"}
    error = RejectedError(reasons)
    reasons[1] = "late"

    assert {0: "bad"} == error.reasons


def test_a_filter_error_points_at_the_place() -> None:
    """The caret stands under the mistake; `except ValueError` catches it too."""
    error = FilterError("this is no level", "level>=WARN x", 7)

    assert "this is no level\n  level>=WARN x\n         ^" == str(error)
    assert ("level>=WARN x", 7) == (error.text, error.position)
    assert isinstance(error, ValueError)

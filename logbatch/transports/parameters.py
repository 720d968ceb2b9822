"""What a transport takes, read from the signature of what makes it."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple


class Parameters(NamedTuple):
    """What a factory takes by name.

    Attributes:
        names: The parameters that are named.
        needed: Those of them without a default.
        any: Whether it takes every other name too (`**options`).
    """

    names: frozenset[str]
    needed: tuple[str, ...]
    any: bool

    @classmethod
    def of(cls, factory: Any) -> Parameters:
        """Read them from the factory's signature."""
        given = inspect.signature(factory).parameters.values()
        named = [
            each for each in given if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        return cls(
            frozenset(each.name for each in named),
            tuple(each.name for each in named if each.default is each.empty),
            any(each.kind is each.VAR_KEYWORD for each in given),
        )

"""The parameters of a transport, read from the signature of its factory."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple


class Parameters(NamedTuple):
    """The keyword parameters of a factory.

    Attributes:
        names: Their names.
        needed: The names of those without a default.
        any: Whether it accepts every other name too (`**options`).
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

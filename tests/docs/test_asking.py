"""What docs/asking.md shows of the filter language is in the language."""

from __future__ import annotations

import re

from documents import ROOT, find_rows

from logbatch.dataset.filter.language import Filter

PAGE = ROOT / "docs" / "asking.md"


def test_every_filter_that_is_shown_is_one() -> None:
    """The first cells of the tables of terms hold filters, and nothing else."""
    rows = find_rows(PAGE, "Filters")
    shown = [text for row in rows for text in re.findall("`([^`]+)`", row[0])]

    assert len(shown) > 20
    for text in shown:
        assert Filter.parse(text)

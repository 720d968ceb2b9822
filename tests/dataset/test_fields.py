"""Fields of a filter that no record has: that they are said, and what may have been meant."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from make import A, B, event, make_batch, publish, publish_events

from logbatch.dataset.reader import Dataset
from logbatch.errors import FilterError
from logbatch.handler import BatchHandler


def having(**attributes: Any) -> dict[str, Any]:
    """Make an event with these attributes."""
    return event(attributes=attributes)


def told(directory: Path, where: str, timeout: float = 60.0) -> list[str]:
    """Ask about a filter; return the sentences."""
    return [str(field) for field in Dataset(directory).unknown_fields(where, timeout)]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_what_no_record_has_is_said(tmp_path: Path, kind: str) -> None:
    """With the attribute or the column that is spelt most like it, and with dots an inner one."""
    publish_events(tmp_path, having(user_id=1), having(user={"first name": "a", "é": 2}), kind=kind)
    publish_events(tmp_path, having(PATH=None), kind=kind)

    assert ["no record has a field 'usr_id'; did you mean 'user_id'?"] == told(tmp_path, "usr_id=4")
    assert ["no record has a field 'levl'; did you mean 'level'?"] == told(tmp_path, "levl=ERROR")
    assert ["no record has a field 'é'; did you mean 'user.é'?"] == told(tmp_path, "é=2")
    assert ["no record has a field 'Path'; did you mean 'PATH'?"] == told(tmp_path, "Path~a or a")
    assert ["no record has a field 'attributes.logger'; did you mean 'logger'?"] == told(
        tmp_path, "attributes.logger=app"
    )
    assert ["no record has a field 'qqq'", "no record has a field 'www'"] == told(
        tmp_path, "-qqq=* (level=INFO or www=1 qqq=2)"
    )


def test_nothing_is_said_of_what_there_is(tmp_path: Path) -> None:
    """Columns, attributes with any value or null, inner ones, and whatever is asked of nothing."""
    publish_events(tmp_path, having(user_id=1, user={"id": None}), having(**{"a.b": 1, 'q"': 2}))

    assert [] == told(tmp_path, "user_id=7 user.id=1 user=* a.b=3 timeout trace_id=1")
    assert [] == told(tmp_path, r"attributes~x 'q\"'=5 attributes.user_id=7") == told(tmp_path, "")
    (tmp_path / "none").mkdir()
    assert [] == told(tmp_path / "none", "usr_id=1")
    with pytest.raises(FilterError):
        Dataset(tmp_path).unknown_fields("a=")


def test_a_name_in_a_value_is_no_field(tmp_path: Path) -> None:
    """The text of the attributes may hold it all the same."""
    publish_events(tmp_path, having(word="usr_id", texts=["usr_id"], quoted='"usr_id"'))

    (field,) = Dataset(tmp_path).unknown_fields("usr_id=1")
    assert ("usr_id", 1, True) == (field.name, field.records, field.all)


def test_what_is_not_published_yet_counts(tmp_path: Path) -> None:
    """The field may be in the journal only."""
    publish_events(tmp_path, having(old=1))
    handler = BatchHandler(f"parquet:{tmp_path}", flush_interval=600)
    try:
        record = logging.makeLogRecord({"msg": "it rains", "levelno": 20, "fresh": 1})
        handler.handle(record)
        assert 1 == handler.stats().pending
        assert [] == told(tmp_path, "fresh=1")
        assert ["no record has a field 'frsh'; did you mean 'fresh'?"] == told(tmp_path, "frsh=1")
    finally:
        handler.close()


def test_no_more_is_read_than_the_time_allows(tmp_path: Path) -> None:
    """Then the sentence says of how many records it speaks."""
    publish(tmp_path, make_batch(0, 2, A))
    publish(tmp_path, make_batch(0, 2, B))

    assert ["none of the 3 records looked at has a field 'm'"] == told(tmp_path, "m=1", 1e-9)
    assert [] == told(tmp_path, "n=1", 1e-9)

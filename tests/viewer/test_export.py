"""What is downloaded is what is shown: filter and range, in each format."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from browsing import OpenTabs, View, expect_total, open_shop

from logbatch import Dataset

WHERE = "logger=shop.pay level>=ERROR"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_view_is_downloaded(
    tabs: OpenTabs, shop: View, shop_directory: Path, tmp_path: Path, kind: str
) -> None:
    """The same records as Python finds, in the order of time."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.pay+level%3E%3DERROR&from=2026-11-21T10:10:00Z")
    expected = list(Dataset(shop_directory).rows(f"{WHERE} since=2026-11-21T10:10:00"))
    expect_total(page, len(expected))
    page.locator("#export").click()
    with page.expect_download() as started:
        page.get_by_role("menuitem", name=kind, exact=False).click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert f".{kind}" == path.suffix

    if kind == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(csv.DictReader(file))
    elif kind == "jsonl":
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        found = pq.read_table(path).to_pylist()
    for name in ("message", "exception_message", "trace_id"):
        assert [row[name] for row in expected] == [row[name] for row in found]
    assert [str(row["sequence"]) for row in expected] == [str(row["sequence"]) for row in found]
    assert 9 == len(found)

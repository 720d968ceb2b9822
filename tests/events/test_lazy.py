"""What is known to be lazy is stored without being evaluated: no query runs within a logging call.

The software is the real one.  `tox -e recipes` has all of it; elsewhere a test is skipped where its
own is missing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import flask
import pytest
from werkzeug.local import LocalProxy

import logbatch
from logbatch.events.encoder import encode_value
from logbatch.events.values import name_alone
from logbatch.testing import CapturingTransport

LIMIT = 1 << 20


def stored(value: object) -> Any:
    """Return what is stored of a value."""
    return json.loads(encode_value(value, LIMIT))


def software(name: str) -> Any:
    """Import a module; where its package is not installed, the test is skipped."""
    if os.environ.get("TOX_ENV_NAME") == "recipes":
        return importlib.import_module(name)
    return pytest.importorskip(name)


def fail(*_: object, **__: object) -> Any:
    """Do the work that is not to be done."""
    raise AssertionError("it was evaluated")


# ------------------------------------------------------------------ Django


@pytest.fixture(scope="session")  # Django is configured once in a process
def order() -> Iterator[Any]:
    """A model of Django's, with 30 rows in a database of its own."""
    settings = software("django.conf").settings
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(DATABASES={"default": database}, USE_I18N=True, LANGUAGE_CODE="de")
    software("django").setup()
    from django.db import connection, models

    class Order(models.Model):  # type: ignore[misc]
        item = models.CharField(max_length=10)

        class Meta:
            app_label = "shop"

    with connection.schema_editor() as editor:
        editor.create_model(Order)
    Order.objects.bulk_create([Order(item=f"item {number}") for number in range(30)])
    yield Order
    connection.close()


@pytest.fixture
def queries(order: Any) -> Iterator[Callable[[], int]]:
    """How many queries the test has run so far."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as seen:
        yield lambda: len(seen.captured_queries)


def test_a_query_set_is_not_evaluated(order: Any, queries: Callable[[], int]) -> None:
    """Wherever it stands; it says whose it is."""
    some = order.objects.filter(item__startswith="item")
    told = "<QuerySet of shop.Order, not evaluated>"

    assert told == stored(some)
    assert {"orders": [told, told]} == stored({"orders": [some, order.objects.values("item")]})
    assert [[told, 1]] == stored({(some, 1)})
    assert 0 == queries()
    assert 30 == len(some)  # the caller's own object is none the worse


def test_a_query_set_that_was_evaluated_shows_its_rows(
    order: Any, queries: Callable[[], int]
) -> None:
    """At most twenty of them, as Django does; nothing is asked again."""
    some = order.objects.all()
    assert 30 == len(some)

    assert repr(some) == stored(some)
    assert 1 == queries()


def test_a_page_is_not_counted(order: Any, queries: Callable[[], int]) -> None:
    """How many pages there are is a query."""
    from django.core.paginator import Page, Paginator

    paginator = Paginator(order.objects.order_by("id"), 10)
    page = Page([], 2, paginator)

    assert "<Page 2, not evaluated>" == stored(page)
    assert 0 == queries()
    assert 30 == paginator.count
    assert "<Page 2 of 3>" == stored(page)


@pytest.mark.usefixtures("order")
def test_text_that_is_translated_late() -> None:
    """It is stored as it stands in the source: without quotes, and in the one language."""
    from django.utils import translation

    assert "Save" == stored(translation.gettext_lazy("Save"))
    assert "May" == stored(translation.pgettext_lazy("month", "May"))
    assert "%d day" == stored(translation.ngettext_lazy("%d day", "%d days"))
    assert "%d day" == stored(translation.ngettext_lazy("%d day", "%d days", 3))
    assert {"Save": ["No"]} == stored(
        {translation.gettext_lazy("Save"): [translation.gettext_lazy("No")]}
    )


@pytest.mark.usefixtures("order")
def test_other_promises() -> None:
    """They tell what would be called, and with what; it is not called."""
    from django.urls import reverse_lazy
    from django.utils.functional import lazy
    from django.utils.text import format_lazy
    from django.utils.translation import gettext_lazy

    assert {"<fail, not evaluated>": ["x", {"y": 2}]} == stored(lazy(fail, str)("x", y=2))
    assert {"<fail, not evaluated>": [1]} == stored(lazy(fail, int)(1))
    assert {"<reverse, not evaluated>": ["home"]} == stored(reverse_lazy("home"))
    texts = format_lazy("{} {}", gettext_lazy("Save"), "x")
    assert {"<_format_lazy, not evaluated>": ["{} {}", "Save", "x"]} == stored(texts)


@pytest.mark.usefixtures("order")
def test_lazy_objects() -> None:
    """Such as `request.user`: not evaluated, or as what it holds since it was."""
    from django.utils.functional import SimpleLazyObject, empty

    user: Any = SimpleLazyObject(lambda: {"name": "ann"})
    told = stored([user, SimpleLazyObject(fail)])
    assert ["<SimpleLazyObject, not evaluated>"] * 2 == told
    assert user._wrapped is empty
    assert "ann" == user["name"]
    assert {"name": "ann"} == stored(user)


@pytest.mark.usefixtures("home")
def test_no_query_runs_within_a_call(order: Any, queries: Callable[[], int]) -> None:
    """Neither of `logging`, with what is bound and what is extra, nor of structlog."""
    import structlog
    from django.utils.translation import gettext_lazy

    transport = CapturingTransport()
    fields = {"orders": order.objects.all(), "label": gettext_lazy("Save")}
    with logbatch.attach(transport), structlog.contextvars.bound_contextvars(bound=fields):
        logging.getLogger("shop").warning("hello", extra=fields)
    with logbatch.BatchProcessor(transport) as processor:
        processor(None, "info", {"event": "hello", **fields})

    told = {"orders": "<QuerySet of shop.Order, not evaluated>", "label": "Save"}
    first, second = (event["attributes"] for event in transport.events)
    assert {"bound": told, **told} == first
    assert told == second
    assert 0 == queries()


# ------------------------------------------------------------------ others


def test_mapped_dataclasses() -> None:
    """A relation that was not loaded yet, and what a commit has made stale, are not loaded."""
    software("sqlalchemy")
    import sqlalchemy as sa
    from sqlalchemy import orm

    @dataclasses.dataclass
    class Item:
        pass

    @dataclasses.dataclass
    class Order:
        name: str
        items: list[Item]
        id: int | None = None

    def id_column() -> Any:
        return sa.Column("id", sa.Integer, primary_key=True)

    registry = orm.registry()
    orders = sa.Table("orders", registry.metadata, id_column(), sa.Column("name", sa.String))
    of_order = sa.Column("order_id", sa.ForeignKey("orders.id"))
    registry.map_imperatively(Item, sa.Table("items", registry.metadata, id_column(), of_order))
    items = {"items": orm.relationship(Item)}
    registry.map_imperatively(Order, orders, properties=items)
    engine = sa.create_engine("sqlite://")
    seen: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    registry.metadata.create_all(engine)
    with orm.Session(engine) as session:
        order = Order("first", [Item()])
        session.add(order)
        session.commit()
        seen.clear()
        unread = "<not loaded>"
        assert {"id": unread, "name": unread, "items": unread} == stored(order)
        assert 1 == order.id
        count = len(seen)
        assert {"id": 1, "name": "first", "items": unread} == stored(order)
        assert count == len(seen)
    engine.dispose()


def test_relations_of_duckdb() -> None:
    """Its `repr()` would run the query."""
    with duckdb.connect() as connection:
        relation = connection.sql("select error('it was evaluated') from range(1000)")
        assert "<DuckDBPyRelation, not evaluated>" == stored(relation)


def test_proxies_of_flask() -> None:
    """One that calls a function, as `flask_login.current_user`, does not call it."""

    def load_user() -> Any:
        fail()

    user = LocalProxy(load_user)
    assert f"<LocalProxy of {load_user.__qualname__}, not evaluated>" == stored(user)
    app = flask.Flask("shop")
    with app.test_request_context("/items/7"):
        assert repr(flask.request) == stored(flask.request)
    assert "<LocalProxy unbound>" == stored(flask.request)


def test_lazy_texts_of_flask_babel() -> None:
    """As those of Django."""
    babel = software("flask_babel")

    assert "Save" == stored(babel.lazy_gettext("Save"))
    told = stored(babel.lazy_gettext("Hello %(name)s", name="Ann"))
    assert {"<gettext, not evaluated>": ["Hello %(name)s", {"name": "Ann"}]} == told


def test_queries_of_mongoengine() -> None:
    """Its `repr()` would ask the server."""
    engine = software("mongoengine")

    class Order(engine.Document):  # type: ignore[misc, name-defined]
        pass

    some = engine.QuerySet(Order, collection=None)
    assert "<QuerySet of Order, not evaluated>" == stored(some)


# ------------------------------------------------------------------ of the application


class Costly:
    def __repr__(self) -> str:
        return str(fail())

    def __lt__(self, other: object) -> bool:
        return bool(fail())


@dataclasses.dataclass
class Holding:
    costly: Costly


def test_no_object_of_another_type_is_asked() -> None:
    """With `objects="type"`, wherever it stands, only the name of its type is stored."""
    transport = CapturingTransport()
    value = {"a": [Costly()], "b": Holding(Costly()), "c": {Costly(), Costly()}, "d": 1}
    name = f"<{Costly.__module__}.Costly>"
    told = {"a": [name], "b": {"costly": name}, "c": [name, name], "d": 1}
    with logbatch.attach(logbatch.BatchHandler(transport, objects="type")):
        logging.getLogger("shop").warning("hello", extra={"value": value, "one": Costly()})
        logging.getLogger("shop").warning("hello", extra={"long": "x" * 5000, "one": Costly()})
    with logbatch.BatchProcessor(transport, objects="type") as processor:
        processor(None, "info", {"event": "hello", "value": value, "one": Costly()})
        processor(None, "info", {"event": "hello", "logger": 1, "one": Costly()})

    assert [name] * 4 == [event["attributes"]["one"] for event in transport.events]
    found = [event["attributes"].get("value") for event in transport.events]
    assert [told, None, told, None] == found
    assert json.loads(encode_value(Costly(), LIMIT, name_alone)) == name


def test_by_default_an_object_is_asked() -> None:
    """Its `repr()` is what is stored; one that fails is told."""
    assert "<Costly: AssertionError while it was read>" in stored(Costly()).replace(
        f"{Costly.__module__}.", ""
    )

"""A Flask application whose log, and its server's, goes to Parquet files.

LOGBATCH_TRANSPORT=parquet:logs python -m flask --app examples/flask_app.py run
"""

from logging.config import dictConfig

from flask import Flask, abort

dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"batch": {"class": "logbatch.BatchHandler"}},
        "root": {"handlers": ["batch"], "level": "INFO"},
    }
)

app = Flask(__name__)


@app.get("/items/<int:item>")
def show_item(item: int) -> dict[str, int]:
    """Show an item, or fail for every tenth."""
    app.logger.info("item %d asked for", item, extra={"item": item})
    if item % 10 == 0:
        try:
            raise LookupError(f"item {item} is gone")
        except LookupError:
            app.logger.exception("item %d failed", item, extra={"item": item})
        abort(404)
    return {"item": item}

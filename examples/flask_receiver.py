"""A server of your own for logbatch: it stores each event exactly once, in SQLite.

python -m flask --app examples/flask_receiver.py run
"""

import gzip
import json
import re
import sqlite3
from contextlib import closing

from flask import Flask, request

TABLE = "logs (producer, sequence, event, PRIMARY KEY (producer, sequence))"

app = Flask(__name__)


@app.post("/logs")
def store_batch() -> dict[str, int]:
    """Store what is not stored yet: after a crash, events may come again, in other batches."""
    body = request.data
    if request.content_encoding == "gzip":
        body = gzip.decompress(body)
    events = json.loads(body)["logs"]
    producer, first, _last = re.split("[/-]", request.headers["Idempotency-Key"])
    rows = [(producer, n, json.dumps(event)) for n, event in enumerate(events, int(first))]
    with closing(sqlite3.connect("logs.db")) as database, database:  # all of it, or nothing
        database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
        database.executemany("INSERT OR IGNORE INTO logs VALUES (?, ?, ?)", rows)
    return {"logs_added": len(rows)}

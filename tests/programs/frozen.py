"""A program that is packed into one file: it logs as a configuration says, and runs commands.

Usage: frozen.py COMMANDS DIRECTORY URL…
"""

import json
import logging.config
import sys

import logbatch.cli


def main() -> int:
    """Log to all of them, then have commands print their help, and one its records."""
    commands, directory, *urls = sys.argv[1:]
    handlers = {
        url: {"class": "logbatch.BatchHandler", "transport": url, "close_timeout": 60}
        for url in urls
    }
    root = {"level": "INFO", "handlers": urls}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})
    for n in range(10):
        logging.info("record %d", n)
    print(logbatch.__file__)
    for handler in logging.root.handlers:
        assert isinstance(handler, logbatch.BatchHandler)
        handler.close()
        stats = handler.stats()
        print(json.dumps([stats.published, stats.last_error]))
    for command in commands.split(","):
        assert not logbatch.cli.main([command, "--help"])
    return logbatch.cli.main(["tail", directory])


if __name__ == "__main__":
    sys.exit(main())

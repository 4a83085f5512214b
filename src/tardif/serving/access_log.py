"""Log lines of the service: JSON on stderr, without texts, queries, ids or tokens.

A line says when, which route, which index, with what result, how long it took and how many bytes were read and
written. Of an unexpected error it has the class and the places in the source; its message may quote a text.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from tardif.escaping import visible

_LOGGER = "tardif.serving"
_FAILURE = "tardif.failure"


def log(event: str, level: int = logging.INFO, **values: Any) -> None:
    """Write a line."""
    logging.getLogger(_LOGGER).log(level, event, extra={"values": values})


def note_failure(scope: MutableMapping[str, Any], error: BaseException, *, message: bool = False) -> None:
    """Remember why a request failed, for its line in the log.

    Args:
        scope: the request's.
        error: the error.
        message: whether its message may be logged.
    """
    scope.setdefault("state", {})[_FAILURE] = described(error, message=message)


def failure_of(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return why the request failed, if it was noted."""
    found: dict[str, Any] = scope.get("state", {}).get(_FAILURE, {})
    return found


def described(error: BaseException, *, message: bool = False) -> dict[str, Any]:
    """Return an error's class and the places in the source that it passed, and its message if it may be logged."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno}" for frame in frames[-12:]]
    return {"error": type(error).__name__, **({"message": str(error)} if message else {}), "places": places}


class JsonLines(logging.Formatter):
    """Writes a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        values = getattr(record, "values", {})
        line = {"time": when, "level": record.levelname.lower(), "event": visible(record.getMessage()), **values}
        if record.exc_info and record.exc_info[1] is not None:
            line |= described(record.exc_info[1])
        return json.dumps(line)


def set_up(*, quiet: bool) -> None:
    """Send the service's and its libraries' log to stderr, as lines of JSON.

    Args:
        quiet: leave out requests that were answered as they should be.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in (_LOGGER, "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        # What the libraries say of an ordinary day is no event of the service.
        logger.setLevel(logging.INFO if name == _LOGGER and not quiet else logging.WARNING)

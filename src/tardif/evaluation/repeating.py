"""The command that repeats a run, as a person would type it: a command line, or Python calls. It holds no secret."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Characters of a value in a Python call; a longer one is named by its type.
_LONGEST = 200
# What a name of an option, a variable or a part of an address says of a value that must not be written.
_SECRET = re.compile(r"(?i)(^|[-_.])(api[-_]?key|key|token|secret|password|passwd|pwd|auth(orization)?|credentials?)$")
# The value in KEY=VALUE, for the keys above that are names of variables or files, and no secrets themselves.
_HIDDEN = "***"


def command_line(arguments: Sequence[str], program: str = "tardif") -> str:
    """Quote a command line for a shell.

    >>> command_line(["train", "my data", "--endpoint", "https://me:pass@host/v1?api_key=abc"])
    "tardif train 'my data' --endpoint 'https://***@host/v1?api_key=***'"
    """
    return shlex.join([program, *map(without_secrets, arguments)])


def python_call(name: str, *arguments: Any, **options: Any) -> str:
    """Write a call. Options that are None are left out. Values too long to type are named by their type.

    >>> python_call("trainer.prepare", ["a"] * 500, validation=0.2, documents=None, out=Path("models"))
    "trainer.prepare(<list of 500>, validation=0.2, out='models')"
    """
    named = [f"{key}={_value(key, value)}" for key, value in options.items() if value is not None]
    return f"{name}({', '.join([*(_value('', value) for value in arguments), *named])})"


def _value(key: str, value: Any) -> str:
    if _SECRET.search(key) and value is not None:
        return repr(_HIDDEN)
    if isinstance(value, str | Path):
        text = repr(without_secrets(str(value)))
        return text if len(text) <= _LONGEST else f"<text of {len(str(value)):,} characters>"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name!r}: {_value(str(name), item)}" for name, item in list(value.items())[:20])
        text = f"{{{inner}}}"
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(_value('', item) for item in value[:20])}]"
    else:
        return f"<{type(value).__name__}>"
    return text if len(value) <= 20 and len(text) <= _LONGEST else f"<{type(value).__name__} of {len(value):,}>"


def without_secrets(text: str) -> str:
    """Hide what an argument gives away: a password or key in an address, the value of ``token=...`` and the like.

    >>> without_secrets("hf_token=abc"), without_secrets("model=small")
    ('hf_token=***', 'model=small')
    """
    key, equals, _ = text.partition("=")
    if equals and _SECRET.search(key.removeprefix("--")) and "/" not in key:
        return f"{key}={_HIDDEN}"
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return _HIDDEN
    host = parts.netloc.rpartition("@")[2]
    place = f"{_HIDDEN}@{host}" if "@" in parts.netloc else host
    return parts._replace(netloc=place, query=_query(parts.query), fragment="").geturl()


def _query(query: str) -> str:
    """The query of an address. Nobody knows which of its values is a key, so none is shown."""
    return "&".join(f"{part.partition('=')[0]}={_HIDDEN}" if "=" in part else part for part in query.split("&") if part)

"""Strict reading of JSON that strangers send: one meaning, bounded depth, nothing that cannot be stored.

Python's reader lets pass what JSON does not have (NaN, Infinity, numbers beyond a double's range), takes the last of
two equal keys, and stops at its own recursion limit.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from tardif.checks import storable

# Levels of objects and lists: fewer than the metadata of a document may have, and more than anybody writes.
MAX_LEVELS = 64
# Only an escape can write half a character: UTF-8 itself has none.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BOM = b"\xef\xbb\xbf"


class StrictJsonError(ValueError):
    """The bytes are not the JSON that the service takes; the message says why, without repeating them."""


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        StrictJsonError: it is no JSON, has a key twice, NaN or Infinity, half a character, or too many levels.

    >>> read_json(b'{"k": 10}')
    {'k': 10}
    >>> read_json(b'{"k": 10, "k": 20}')
    Traceback (most recent call last):
    tardif.serving.strict_json.StrictJsonError: An object has a key twice.
    """
    try:
        value = _DECODER.decode(body.removeprefix(_BOM).decode())
    except StrictJsonError:
        raise
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"The body is not UTF-8, at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # thousands of digits
        raise StrictJsonError("The body holds a number with too many digits.") from None
    _check(value, halves=_SURROGATE.search(body) is not None)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("An object has a key twice.")
    return found


def _constant(name: str) -> NoReturn:
    raise StrictJsonError(f"The body holds {name}, which JSON does not have.")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJsonError("The body holds a number beyond the range of a double.")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)


def _too_deep() -> StrictJsonError:
    return StrictJsonError(f"The body is nested deeper than {MAX_LEVELS} levels.")


def _check(value: Any, *, halves: bool) -> None:
    """Check the levels of a value and, where it may hold halves of characters, its texts."""
    level = [value]
    for depth in range(MAX_LEVELS + 2):
        texts = [text for text in level if isinstance(text, str)] if halves else []
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                texts += part if halves else ()
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        if not all(map(storable, texts)):
            raise StrictJsonError("The body holds half a character (a lone surrogate): write it as UTF-8.")
        if not inner:
            return
        if depth >= MAX_LEVELS:
            raise _too_deep()
        level = inner

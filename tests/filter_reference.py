"""What a filter means, said a second time and as plainly as possible: SQLite's answers are compared with it."""

from __future__ import annotations

import operator
import re
from fnmatch import fnmatchcase

from tardif.data.json_metadata import as_stored, clean_text
from tardif.index.filter_nodes import And, Compare, Exists, In, Not, Or

ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
MISSING = object()
# SQLite reads both noncharacters as U+FFFD when it matches patterns.
AS_SQLITE_READS = {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}


def meets(condition, document):
    """Whether the document meets the condition."""
    match condition:
        case And():
            return all(meets(part, document) for part in condition.parts)
        case Or():
            return any(meets(part, document) for part in condition.parts)
        case Not():
            return not meets(condition.part, document)
    found = value_of(condition.field, document)
    if isinstance(condition, Exists) or found is MISSING:
        return found is not MISSING
    elements = found if isinstance(found, list) else [found]
    if isinstance(condition, In):
        wanted = [identity(literal(value, condition.field)) for value in condition.values]
        return any((identity(element) in wanted) != condition.negated for element in elements)
    assert isinstance(condition, Compare)
    return any(compares(element, condition) for element in elements)


def value_of(field, document):
    if field.of_document:
        return document.whole_id if field.names == ("id",) else document.title
    found = as_stored(document.metadata)
    if field.of_piece:
        found = {} if document.piece is None else as_stored(document.piece.place())
    for name in map(clean_text, field.names):
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def compares(element, condition):
    wanted = literal(condition.value, condition.field)
    if condition.operator in ("=", "!="):
        return (identity(element) == identity(wanted)) == (condition.operator == "=")
    if condition.operator in ORDERS:
        (kind, found), (wanted_kind, than) = identity(element), identity(wanted)
        return kind == wanted_kind and ORDERS[condition.operator](found, than)
    if not isinstance(element, str):
        return False
    return wanted in element if condition.operator == "contains" else like(clean_text(condition.value.raw), element)


def like(pattern, text):
    words = {"%": "*", "_": "?"}
    tokens = re.findall(r"\\?.", pattern.translate(AS_SQLITE_READS), re.DOTALL)
    glob = "".join(words.get(token) or (f"[{token[-1]}]" if token[-1] in "*?[" else token[-1]) for token in tokens)
    return "\0" not in text and fnmatchcase(text.translate(AS_SQLITE_READS), glob)


def literal(value, field):
    """The value that a filter names, a text as it is stored: a field of the document may hold NULs."""
    if value.kind in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[value.kind]
    if not isinstance(value.raw, str) or not field.of_document:
        return clean_text(value.raw) if isinstance(value.raw, str) else value.raw
    return "\0".join(map(clean_text, value.raw.split("\0")))


def identity(element):
    """What makes elements equal: their type and value; lists and objects equal nothing that a filter can name."""
    if element is None or isinstance(element, bool | str):
        return type(element), element
    if not isinstance(element, int | float):
        return list, None
    beyond = isinstance(element, int) and not -(2**63) <= element < 2**63
    return float, float(element) if beyond else element

"""The encoding of a table. What is proven is taken; a guess is taken only where nothing else reads as a language.

Proven is a byte order mark, valid UTF-8, and the zeros of UTF-16. Anything else has one byte for a letter, and several
encodings give letters for it: one is taken if its text is in a language that people save in it, and no other's is. In a
table a wrong letter is a wrong word in thousands of rows, so in doubt the file is refused with the readings.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tardif.data.extraction.extracted import hushed
from tardif.data.formats.files import marked_encoding, raw_blocks, raw_lines
from tardif.errors import DataError
from tardif.text.detect import identifier

_SAMPLE = 2**16  # bytes that a guess looks at
_HEAD = 2**12
_WORSE = 0.05  # charset-normalizer's mess (0 to 1) by which a reading may be worse than the best and still count

_WESTERN = "de fr es it pt nl sv da nb no nn fi is en ca gl eu ga af lb fo oc br wa an id ms sw tl la"
_CENTRAL = "cs sk pl hu sl hr ro bs sq"
_WRITTEN_IN = {
    "cp1252": _WESTERN, "cp1250": _CENTRAL, "iso8859_2": _CENTRAL, "cp1251": "ru uk bg mk sr be kk ky mn",
    "koi8_r": "ru", "cp1253": "el", "cp1254": "tr az", "cp1255": "he", "cp1256": "ar fa ur ps ug",
    "cp1257": "lt lv et", "shift_jis": "ja", "euc_jp": "ja", "gb18030": "zh", "big5": "zh", "euc_kr": "ko",
}  # fmt: skip
"""The languages that are saved in an encoding; those of Windows first, and the likelier before the others."""

_AMID = re.compile(r"(?<=[a-z])[^\x00-\x7f](?=[a-z])")
_APART = "’´`·°\u00ad"  # signs that stand within words

CODING = "save the file as UTF-8, or name its encoding (--encoding cp1252; in Python encoding='cp1252')"
"""The way out where a table cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Coding:
    """The encoding of a table, and what is said of it: empty for UTF-8."""

    name: str
    said: str = ""


def table_encoding(path: Path, asked: str | None = None) -> Coding:
    """Find out the encoding of a table.

    Args:
        path: the file, which may be packed.
        asked: what the user says it is.

    Raises:
        DataError: it is neither proven nor a clear guess, or the file is damaged; says where, and how to say it.
    """
    marked = marked_encoding(path)
    if asked is not None and not (marked or "").startswith("utf-16"):
        return Coding(asked, "" if asked == "utf-8" else asked)
    if marked is not None:
        return Coding(marked, "" if marked == "utf-8" else marked.upper())
    if wide := _wide(path):
        return Coding(wide, wide[:6].upper())
    if _is_utf8(path):
        return Coding("utf-8")
    return _guessed(path)


def _wide(path: Path) -> str | None:
    """UTF-16 without a mark, by the zeros that every other byte of it is."""
    head = next(raw_blocks(path), b"")[:_HEAD]
    pairs = len(head) // 2
    even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs and max(even, odd) > pairs / 2 and min(even, odd) < pairs / 20:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in raw_blocks(path):
            if not (block.isascii() and not decoder.getstate()[0]):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _guessed(path: Path) -> Coding:
    sample, line, byte = _telling(path)
    readings = _readings(sample)
    fitting = [name for _, name in readings if name]
    if len(fitting) == 1:
        return Coding(fitting[0], f"not UTF-8 but {fitting[0]}, a guess; --encoding names another")
    words = "; ".join(f"{_word(text)!r} in {name}" for text, name in readings if name)
    raise DataError(
        f"is not UTF-8 (byte {byte} of the line){f' and may be one of several: {words}' if words else ''}: {CODING}.",
        path,
        line,
    )


def _telling(path: Path) -> tuple[bytes, int, int]:
    """The first lines that hold more than ASCII, up to a sample; the line and byte of the first that is not UTF-8.

    Raises:
        DataError: some of them are UTF-8 and others are not.
    """
    sample = bytearray()
    first, is_mixed = (0, 0), False
    for number, raw in raw_lines(path, any_end=True):
        if raw.isascii():
            continue
        try:
            raw.decode()
            is_mixed = True
        except UnicodeDecodeError as error:
            first = first if first[0] else (number, error.start + 1)
            sample += raw
        if len(sample) > _SAMPLE or (is_mixed and first[0]):
            break
    if is_mixed:
        what = f"is not UTF-8 (byte {first[1]} of the line), and other lines are"
        raise DataError(f"{what}: {CODING}.", path, first[0] or None)
    return bytes(sample[:_SAMPLE].rpartition(b"\n")[0] or sample), *first


def _readings(sample: bytes) -> list[tuple[str, str]]:
    """The texts that a sample may be, each with the encoding that gives it and is used for its language, or none."""
    from charset_normalizer import from_bytes

    with hushed("charset_normalizer"):
        matches = list(from_bytes(sample, cp_isolation=list(_WRITTEN_IN), enable_fallback=False))
    found: dict[str, float] = {}
    for match in matches:
        text = str(match)
        found[text] = min(found.get(text, 1.0), match.chaos)
    best = min(found.values(), default=0.0)
    texts = [text for text, mess in found.items() if mess <= best + _WORSE and not _is_broken(text)]
    return [(text, _encoding_for(text, sample, identifier().classify(text)[0])) for text in texts]


def _is_broken(text: str) -> bool:
    """Whether words hold signs and capitals in their midst, as German from a Macintosh does when read as Windows'."""
    amid = _AMID.findall(text)
    odd = sum(not sign.isalpha() or sign.isupper() for sign in amid if sign not in _APART)
    return bool(odd > len(amid) / 10)


def _encoding_for(text: str, sample: bytes, language: str) -> str:
    for name, languages in _WRITTEN_IN.items():
        if language in languages.split() and _decoded(sample, name) == text:
            return name
    return ""


def _decoded(sample: bytes, name: str) -> str | None:
    try:
        return sample.decode(name)
    except UnicodeDecodeError:
        return None


def _word(text: str) -> str:
    """The first word of a text that is more than ASCII."""
    return next((word for word in _words(text) if not word.isascii()), "")[:40]


def _words(text: str) -> Iterator[str]:
    return (found.group() for found in re.finditer(r"[^\s,;|\"]+", text))

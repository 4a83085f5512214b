"""Detect the encoding of a table; in doubt, refuse the file.

A byte order mark, valid UTF-8 and the zeros of UTF-16 are proof. Other files have one byte per letter, and several
encodings map it to a letter. One of them is taken if it alone yields text in a language that people save in it. A wrong
letter is a wrong word in thousands of rows, so in doubt the error lists the possible readings.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from tardif.data.extraction.extracted import hushed
from tardif.data.formats.files import marked_encoding, raw_blocks, raw_lines
from tardif.errors import DataError
from tardif.text.detect import identifier

_SAMPLE = 2**16  # bytes for a guess
_HEAD = 2**12  # bytes in which the zeros of UTF-16 are counted
_WORSE = 0.05  # readings count whose chaos (charset-normalizer's, 0 to 1) exceeds the lowest by at most this

_WESTERN = "de fr es it pt nl sv da nb no nn fi is en ca gl eu ga af lb fo oc br wa an id ms sw tl la"
_CENTRAL = "cs sk pl hu sl hr ro bs sq"
# The languages that people save in each encoding, Windows' encodings first, the more frequent before the others.
_WRITTEN_IN = {
    "cp1252": _WESTERN, "cp1250": _CENTRAL, "iso8859_2": _CENTRAL, "cp1251": "ru uk bg mk sr be kk ky mn",
    "koi8_r": "ru", "cp1253": "el", "cp1254": "tr az", "cp1255": "he", "cp1256": "ar fa ur ps ug",
    "cp1257": "lt lv et", "shift_jis": "ja", "euc_jp": "ja", "gb18030": "zh", "big5": "zh", "euc_kr": "ko",
}  # fmt: skip

# A non-ASCII character between two small letters.
_AMID = re.compile(r"(?<=[a-z])[^\x00-\x7f](?=[a-z])")
_APART = "’´`·°\u00ad"  # signs that are found inside words

# The way out if a table cannot be decoded.
CODING = "save the file as UTF-8, or name its encoding (--encoding cp1252; in Python encoding='cp1252')"


@dataclass(frozen=True, slots=True)
class Coding:
    """The encoding of a table.

    Attributes:
        name: Python's name of it.
        said: a remark for the report; empty for UTF-8.
    """

    name: str
    said: str = ""


def table_encoding(path: Path, asked: str | None = None) -> Coding:
    """Detect the encoding of a table.

    Args:
        path: the file, plain or packed.
        asked: the encoding that the user named.

    Raises:
        DataError: there is neither proof nor a clear guess, or the file is damaged.
    """
    marked = marked_encoding(path)
    # Only a mark of UTF-16 overrules the user: no other text begins with these bytes.
    if asked is not None and not (marked or "").startswith("utf-16"):
        return Coding(asked, "" if asked == "utf-8" else asked)
    if marked is not None:
        return Coding(marked, "" if marked == "utf-8" else marked.upper())
    if utf16 := _utf16(path):
        return Coding(utf16, utf16[:6].upper())
    if _is_utf8(path):
        return Coding("utf-8")
    return _guessed(path)


def _utf16(path: Path) -> str | None:
    """Recognise UTF-16 without a mark: in Western text every other byte is zero."""
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
            # A character may be cut by the end of a block: then an ASCII block after it is decoded, too.
            if not (block.isascii() and not decoder.getstate()[0]):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _guessed(path: Path) -> Coding:
    sample, line, byte = _sample(path)
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


def _sample(path: Path) -> tuple[bytes, int, int]:
    """A sample of the lines beyond ASCII; the line and byte of the first that is not UTF-8.

    Raises:
        DataError: some lines are UTF-8 and others are not.
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
    """The possible texts of a sample, each with the encoding that people use for its language, or an empty name."""
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
    """Whether words have signs and capitals inside, as German from an old Macintosh has when read as Windows'."""
    amid = _AMID.findall(text)
    odd = sum(not sign.isalpha() or sign.isupper() for sign in amid if sign not in _APART)
    return bool(odd > len(amid) / 10)


def _encoding_for(text: str, sample: bytes, language: str) -> str:
    for name, languages in _WRITTEN_IN.items():
        # Bytes that the encoding lacks become U+FFFD, which no reading of the sample holds.
        if language in languages.split() and sample.decode(name, "replace") == text:
            return name
    return ""


def _word(text: str) -> str:
    """The first word of a text that is not ASCII."""
    return next((word for word in re.findall(r"[^\s,;|\"]+", text) if not word.isascii()), "")[:40]

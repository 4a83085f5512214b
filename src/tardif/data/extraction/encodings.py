"""Decode a text file, whatever its encoding, without ever stopping a folder.

A byte order mark or valid UTF-8 is proof. Without proof the file's own declaration counts, then charset-normalizer's
guess among the encodings in which people still save texts. The report names every guess.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence

from tardif.data.extraction.extracted import Refused, hushed

# Byte order marks of encodings other than UTF-8. The mark of UTF-32 begins with that of UTF-16, so it comes first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The encodings to guess among. If several explain a short text in a Western language equally well, the first is taken,
# as most such files are in Windows' Western encoding, a superset of Latin-1.
_GUESSED = (
    "cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "utf_16_le", "utf_16_be",
)  # fmt: skip
# The candidates where control characters point to UTF-16 without a mark.
_WIDE = ("utf_16_le", "utf_16_be")
# Four control characters, each after any character: UTF-16 of Western text read as UTF-8.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f](?:.[\x00-\x08\x0e-\x1f]){3}", re.DOTALL)
_SAMPLE = 2**18  # bytes that a guess looks at

# A text, and a note for the report on how it was decoded: empty where there is no doubt.
Decoded = tuple[str, str]


def decode(raw: bytes, declared: str = "") -> Decoded | Refused:
    """Decode the bytes of a file.

    Args:
        raw: all bytes of the file.
        declared: the encoding that the file declares (a page's ``charset``).

    >>> decode("naïve".encode())
    ('naïve', '')
    """
    for mark, name in MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(name), ""
            except UnicodeDecodeError as error:
                return Refused("damaged", f"begins as {name.upper()} and is not ({error.reason}): save it as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _other(raw, declared, error.start)
    if _CONTROLS.search(text, 0, _SAMPLE):
        # UTF-16 without a mark is valid UTF-8 in which every other byte is a control character.
        for name in _guesses(raw[:_SAMPLE], 0, _WIDE):
            try:
                return raw.decode(name), f"read as {name}, a guess"
            except UnicodeDecodeError:
                continue
    return text, ""


def _other(raw: bytes, declared: str, fault: int) -> Decoded | Refused:
    """Decode what is not UTF-8; ``fault`` is the first byte that is not."""
    if declared.lower().replace("_", "-") not in ("", "utf-8", "utf8"):
        try:
            return raw.decode(declared), ""
        except (UnicodeDecodeError, LookupError):
            pass  # the declaration is wrong too
    # A file with a few damaged bytes is still UTF-8, if most of its non-ASCII characters are valid.
    mended = raw.decode("utf-8-sig", "replace")
    broken = mended.count("\ufffd")
    if broken < sum(not character.isascii() for character in mended) / 2:
        return mended, f"UTF-8, but for {broken} broken characters, which were replaced"
    for name in _guesses(raw, fault):
        try:
            return raw.decode(name), f"not UTF-8: read as {name}, a guess"
        except UnicodeDecodeError:
            continue  # the sample was in this encoding, the whole file is not
    line = raw.count(b"\n", 0, fault) + 1
    return Refused("no text in a known encoding", f"is not UTF-8 (line {line}), nor seems a text: save it as UTF-8.")


def _guesses(raw: bytes, fault: int, among: Sequence[str] = _GUESSED) -> Iterator[str]:
    """The encodings that fit a sample around the byte ``fault``, the likeliest first."""
    from charset_normalizer import from_bytes

    # A file may begin in ASCII for megabytes: the sample is taken around the first byte that tells anything.
    begin = raw.rfind(b"\n", 0, max(fault - _SAMPLE // 4, 0)) + 1
    with hushed("charset_normalizer"):
        found = from_bytes(raw[begin : begin + _SAMPLE], cp_isolation=list(among), enable_fallback=False)
    # charset-normalizer gives one match for all encodings that decode to the same characters. Chaos measures disorder,
    # coherence the likeness to a language.
    named = [(match.chaos, -match.coherence, min(map(_place, match.could_be_from_charset))) for match in found]
    return (_GUESSED[place] for _, _, place in sorted(named) if place < len(_GUESSED))


def _place(name: str) -> int:
    return _GUESSED.index(name) if name in _GUESSED else len(_GUESSED)

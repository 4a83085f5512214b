"""The characters of a text file in whichever encoding it was saved: never a reason to stop a folder.

First what the bytes prove (a byte order mark, valid UTF-8), then what the file declares, then charset-normalizer's
guess among the encodings that people still save texts in. Whatever is not proven is said.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence

from tardif.data.extraction.extracted import Refused, hushed

MARKS = (
    # UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks of encodings other than UTF-8, and what they state."""
# What is guessed among. Of those that explain a text equally well the first is taken: of a short text in a Western
# language several do, and most such files are in Windows' Western encoding, which is Latin-1 and some more.
_GUESSED = (
    "cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "utf_16_le", "utf_16_be",
)  # fmt: skip
_WIDE = ("utf_16_le", "utf_16_be")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f](?:.[\x00-\x08\x0e-\x1f]){3}", re.DOTALL)
_SAMPLE = 2**18  # bytes that a guess looks at

Decoded = tuple[str, str]
"""A text, and what a reader of the report should know of how it was decoded; empty where there is no doubt."""


def decode(raw: bytes, declared: str = "") -> Decoded | Refused:
    """The characters of a file.

    Args:
        raw: all its bytes.
        declared: the encoding that it declares itself (a page's ``charset``).
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
        # UTF-16 without a mark passes for UTF-8, with a control character for every other byte.
        for name in _guesses(raw[:_SAMPLE], 0, _WIDE):
            try:
                return raw.decode(name), f"read as {name}, a guess"
            except UnicodeDecodeError:
                continue
    return text, ""


def _other(raw: bytes, declared: str, fault: int) -> Decoded | Refused:
    """What is not UTF-8: ``fault`` is the first byte that cannot be."""
    if declared.lower().replace("_", "-") not in ("", "utf-8", "utf8"):
        try:
            return raw.decode(declared), ""
        except (UnicodeDecodeError, LookupError):
            pass  # the declaration is wrong too
    mended = raw.decode("utf-8-sig", "replace")
    broken = mended.count("\ufffd")
    if broken < sum(not character.isascii() for character in mended) / 2:
        return mended, f"UTF-8, but for {broken} broken characters, which were replaced"
    for name in _guesses(raw, fault):
        try:
            return raw.decode(name), f"not UTF-8: read as {name}, a guess"
        except UnicodeDecodeError:
            continue  # the sample was, the whole is not
    line = raw.count(b"\n", 0, fault) + 1
    return Refused("no text in a known encoding", f"is not UTF-8 (line {line}), nor seems a text: save it as UTF-8.")


def _guesses(raw: bytes, fault: int, among: Sequence[str] = _GUESSED) -> Iterator[str]:
    """Encodings that a text may be in, the likeliest first, by a sample around a byte that tells."""
    from charset_normalizer import from_bytes

    begin = raw.rfind(b"\n", 0, max(fault - _SAMPLE // 4, 0)) + 1
    with hushed("charset_normalizer"):
        found = from_bytes(raw[begin : begin + _SAMPLE], cp_isolation=list(among), enable_fallback=False)
    # Encodings that give the very same characters are one match.
    named = [(match.chaos, -match.coherence, min(map(_place, match.could_be_from_charset))) for match in found]
    return (_GUESSED[place] for _, _, place in sorted(named) if place < len(_GUESSED))


def _place(name: str) -> int:
    return _GUESSED.index(name) if name in _GUESSED else len(_GUESSED)

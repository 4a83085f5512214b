"""Lines and blocks of text out of plain, gzip and zstd files, each line with its number.

Everything streams. Lines end with ``\\n``, ``\\r\\n`` or ``\\r``. A TSV file may hold a lone ``\\r`` in a text: there
it ends lines only where the file has no ``\\n``. NUL, U+2028 and the like are always characters of the text. What
cannot be read exactly is refused with file and line. A file is UTF-8, UTF-16 or UTF-32 by its byte order mark, UTF-8
without one, or what the caller says.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tardif.data.extraction.encodings import MARKS
from tardif.data.regular import check_regular, open_regular
from tardif.errors import DataError

PACKED = (".gz", ".zst", ".zstd")
LONGEST = 64 * 2**20
"""The longest line, cell or array element, in bytes: what bounds the memory a broken file can take."""

WAY_OUT = "save the file as UTF-8"

_BLOCK = 2**20
_BOM = b"\xef\xbb\xbf"


def kind_of(path: Path) -> str:
    """The suffix that says how a file is read, lower case, without that of gzip or zstd."""
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return name.suffix.lower()


def check_file(path: Path) -> None:
    """Refuse what is not a regular file with something in it.

    Raises:
        DataError: it is empty, or as for :func:`check_regular`.
    """
    if not check_regular(path).st_size:
        raise DataError("is empty: it holds no row.", path)


def raw_lines(path: Path, *, any_end: bool = False) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their ends, numbered from 1; a leading byte order mark is taken off.

    Args:
        path: the file.
        any_end: a lone carriage return ends a line also in a file that has line feeds.

    Raises:
        DataError: the file is missing or damaged, or a line is longer than :data:`LONGEST`.
    """
    number = 0
    returns = any_end or _has_returns_alone(path)
    with _unpacking(path, lambda: number + 1), _open(path) as file:
        lines = _at_any_end(file) if returns else iter(partial(file.readline, LONGEST), b"")
        for number, raw in enumerate(lines, start=1):
            if len(raw) >= LONGEST and not raw.endswith((b"\n", b"\r")):
                raise DataError(f"is longer than {LONGEST >> 20} MiB: is every row on its own line?", path, number)
            yield number, raw.removeprefix(_BOM) if number == 1 else raw


def raw_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked, in blocks.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _unpacking(path, lambda: 1), _open(path) as file:
        yield from iter(partial(file.read, _BLOCK), b"")


def _has_returns_alone(path: Path) -> bool:
    """Whether the lines of a file end with carriage returns: it has some, and no line feed."""
    found = False
    for block in raw_blocks(path):
        if b"\n" in block:
            return False
        found = found or b"\r" in block
    return found


def _at_any_end(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an open file, with their ends, of whichever kind. A byte is a character here, so none is lost."""
    with io.TextIOWrapper(file, encoding="latin-1", newline="") as text:
        for line in iter(partial(text.readline, LONGEST), ""):
            yield line.encode("latin-1")


def marked_encoding(path: Path) -> str | None:
    """The encoding that a byte order mark states; None without one.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _unpacking(path, lambda: 1), _open(path) as file:
        head = file.read(4)
    return next((name for mark, name in (*MARKS, (_BOM, "utf-8")) if head.startswith(mark)), None)


def text_lines(
    path: Path, *, any_end: bool = False, encoding: str | None = None, way_out: str = WAY_OUT
) -> Iterator[tuple[int, str]]:
    """As :func:`raw_lines`, decoded.

    Args:
        path: the file.
        any_end: as there.
        encoding: of the file; by default what its byte order mark states, else UTF-8.
        way_out: what to do where a line cannot be decoded, for the message.

    Raises:
        DataError: likewise, or a line is not of that encoding.
    """
    encoding = encoding or marked_encoding(path) or "utf-8"
    if encoding not in ("utf-8", "utf-8-sig"):
        yield from _other_lines(path, encoding, any_end, way_out)
        return
    for number, raw in raw_lines(path, any_end=any_end):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise _undecoded("utf-8", error.start, path, number, way_out) from None
        yield number, line


def _other_lines(path: Path, encoding: str, any_end: bool, way_out: str) -> Iterator[tuple[int, str]]:
    """The lines of a file in an encoding whose line ends may be no bytes of their own."""
    number, end = 0, "" if any_end else "\n"
    with (
        _unpacking(path, lambda: number + 1),
        _open(path) as file,
        io.TextIOWrapper(file, encoding=encoding, newline=end) as text,
    ):
        try:
            for number, line in enumerate(iter(partial(text.readline, LONGEST), ""), start=1):
                if len(line) >= LONGEST and not line.endswith(("\n", "\r")):
                    raise DataError(f"is longer than {LONGEST >> 20} MiB: is every row on its own line?", path, number)
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeError as error:
            raise _undecoded(encoding, None, path, number + 1, way_out, error) from None


def bare_lines(path: Path, *, any_end: bool = False) -> Iterator[tuple[int, str]]:
    """As :func:`text_lines`, without the lines' ends."""
    for number, line in text_lines(path, any_end=any_end):
        yield number, line.removesuffix("\n").removesuffix("\r")


def text_blocks(path: Path, *, encoding: str | None = None, way_out: str = WAY_OUT) -> Iterator[str]:
    """The text of a file in blocks; a leading byte order mark is taken off. Arguments as for :func:`text_lines`.

    Raises:
        DataError: as :func:`text_lines`.
    """
    encoding = encoding or marked_encoding(path) or "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    line = 1
    with _unpacking(path, lambda: line), _open(path) as file:
        for block in iter(partial(file.read, _BLOCK), b""):
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                start = error.start - before.rfind(b"\n") - 1
                raise _undecoded(encoding, start, path, line + before.count(b"\n"), way_out) from None
            line += text.count("\n")
            yield text
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _undecoded(encoding, error.start, path, line, way_out) from None


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    suffix = path.suffix.lower()
    with open_regular(path) as file:
        if suffix == ".gz":
            with gzip.open(file) as unpacked:
                yield io.BufferedReader(unpacked, _BLOCK)
        elif suffix in PACKED:
            import pyarrow as pa

            with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as unpacked:
                yield io.BufferedReader(unpacked, _BLOCK)
        else:
            yield file


@contextmanager
def _unpacking(path: Path, line: Callable[[], int]) -> Iterator[None]:
    """Say what the system, gzip or zstd has against a file, and where."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("no such file: check the path.", path) from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"is damaged or cut short ({error}): copy it again.", path, line()) from None
    except OSError as error:
        packed = path.suffix.lower() in PACKED
        what = f"is damaged or cut short ({error}): copy it again" if packed else f"cannot be read ({error})"
        raise DataError(f"{what}.", path, line()) from None


def _undecoded(
    encoding: str, byte: int | None, path: Path, line: int, way_out: str, error: UnicodeError | None = None
) -> DataError:
    name = "UTF-8" if encoding.startswith("utf-8") else encoding
    where = f"byte {byte + 1} of the line" if byte is not None else getattr(error, "reason", None) or str(error)
    return DataError(f"is not {name} ({where}): {way_out}.", path, line)

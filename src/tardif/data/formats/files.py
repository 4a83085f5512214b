"""Numbered lines and blocks of text from plain, gzip and zstd files, streamed.

Lines end with ``\\n``, ``\\r\\n`` or ``\\r``. A text in a TSV file may contain a lone ``\\r``, so there it ends lines
only if the file has no ``\\n``. NUL, U+2028 and the like are always characters of the text. Bytes that cannot be
decoded exactly are refused with file and line. A byte order mark decides between UTF-8, UTF-16 and UTF-32; without one
a file is UTF-8 unless the caller names another encoding.
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
from tardif.data.regular import check_regular, note_opened, open_regular
from tardif.errors import DataError
from tardif.extras import need

PACKED = (".gz", ".zst", ".zstd")
# Bytes of the longest line, cell or array element: the bound on the memory that a broken file can take.
LONGEST = 64 * 2**20

WAY_OUT = "save the file as UTF-8"

_BLOCK = 2**20  # bytes read at a time
_BOM = b"\xef\xbb\xbf"


def kind_of(path: Path) -> str:
    """The suffix of a file in lower case, without that of gzip or zstd.

    >>> kind_of(Path("corpus.JSONL.gz"))
    '.jsonl'
    """
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return name.suffix.lower()


def check_file(path: Path) -> None:
    """Refuse a file that is empty or not regular.

    Raises:
        DataError: the file is empty, or as for :func:`check_regular`.
    """
    if not check_regular(path).st_size:
        raise DataError("is empty: it holds no row.", path)
    note_opened(path)  # Arrow opens Parquet files by itself


def raw_lines(path: Path, *, any_end: bool = False) -> Iterator[tuple[int, bytes]]:
    """Stream the lines of a file with their ends, numbered from 1, without a leading byte order mark.

    Args:
        path: the file.
        any_end: a lone carriage return ends a line, even in a file with line feeds.

    Raises:
        DataError: the file is missing or damaged, or a line is longer than :data:`LONGEST`.
    """
    number = 0
    # Only a pass over the file tells. It ends at the first line feed, so it is short for most files.
    returns = any_end or _has_returns_alone(path)
    with _unpacking(path, lambda: number + 1), _open(path) as file:
        lines = _at_any_end(file) if returns else iter(partial(file.readline, LONGEST), b"")
        for number, raw in enumerate(lines, start=1):
            # readline cuts a longer line at the limit: what it returns then has no end.
            if len(raw) >= LONGEST and not raw.endswith((b"\n", b"\r")):
                raise DataError(f"is longer than {LONGEST >> 20} MiB: is every row on its own line?", path, number)
            # A mark at the beginning is no character of the text; utf-8-sig would also look for one in each line.
            yield number, raw.removeprefix(_BOM) if number == 1 else raw


def raw_blocks(path: Path) -> Iterator[bytes]:
    """Stream the unpacked bytes of a file in blocks.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _unpacking(path, lambda: 1), _open(path) as file:
        yield from iter(partial(file.read, _BLOCK), b"")


def _has_returns_alone(path: Path) -> bool:
    """Whether a file has carriage returns and no line feed."""
    found = False
    for block in raw_blocks(path):
        if b"\n" in block:
            return False
        found = found or b"\r" in block
    return found


def _at_any_end(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an open file with any of the line ends. Latin-1 maps each byte to a character, so none is lost."""
    with io.TextIOWrapper(file, encoding="latin-1", newline="") as text:
        for line in iter(partial(text.readline, LONGEST), ""):
            yield line.encode("latin-1")


def marked_encoding(path: Path) -> str | None:
    """The encoding of a file's byte order mark; None without one.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _unpacking(path, lambda: 1), _open(path) as file:
        head = file.read(4)
    return next((name for mark, name in (*MARKS, (_BOM, "utf-8")) if head.startswith(mark)), None)


def text_lines(
    path: Path, *, any_end: bool = False, encoding: str | None = None, way_out: str = WAY_OUT
) -> Iterator[tuple[int, str]]:
    """Stream the decoded lines of a file, as :func:`raw_lines` its bytes.

    Args:
        path: the file.
        any_end: as for :func:`raw_lines`.
        encoding: of the file; by default that of its byte order mark, else UTF-8.
        way_out: advice for the error if a line cannot be decoded.

    Raises:
        DataError: as for :func:`raw_lines`, or a line is not in that encoding.
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
    """The lines of a file in an encoding with line ends of several bytes, such as UTF-16."""
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
    """Stream the lines of a file as :func:`text_lines` does, without their ends."""
    for number, line in text_lines(path, any_end=any_end):
        yield number, line.removesuffix("\n").removesuffix("\r")


def text_blocks(path: Path, *, encoding: str | None = None, way_out: str = WAY_OUT) -> Iterator[str]:
    """Stream the text of a file in blocks, without a leading byte order mark.

    Arguments and errors are those of :func:`text_lines`.
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
                # The decoder's position is in the block; people count bytes from the start of the line.
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
            need("parquet", f"Reading {path}")
            import pyarrow as pa

            with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as unpacked:
                yield io.BufferedReader(unpacked, _BLOCK)
        else:
            yield file


@contextmanager
def _unpacking(path: Path, line: Callable[[], int]) -> Iterator[None]:
    """Turn errors of the system, gzip and zstd into ones that name the file and line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("no such file: check the path.", path) from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"is damaged or cut short ({error}): copy it again.", path, line()) from None
    except OSError as error:
        # gzip and Arrow raise plain OSErrors for damaged data too.
        packed = path.suffix.lower() in PACKED
        what = f"is damaged or cut short ({error}): copy it again" if packed else f"cannot be read ({error})"
        raise DataError(f"{what}.", path, line()) from None


def _undecoded(
    encoding: str, byte: int | None, path: Path, line: int, way_out: str, error: UnicodeError | None = None
) -> DataError:
    name = "UTF-8" if encoding.startswith("utf-8") else encoding
    where = f"byte {byte + 1} of the line" if byte is not None else getattr(error, "reason", None) or str(error)
    return DataError(f"is not {name} ({where}): {way_out}.", path, line)

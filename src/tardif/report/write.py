"""The front: folders in, one HTML file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tardif.data.regular import user_path
from tardif.evaluation.evidence import PAGE
from tardif.extras import need
from tardif.folders import check_file, write_output
from tardif.report.sources import read_sources


def report(
    folders: str | Path | Sequence[str | Path], out: str | Path | None = None, *, title: str | None = None
) -> Path:
    """Draw a report on checkpoints, evaluations and prepared sets: one HTML file that needs nothing else.

    Several checkpoints are compared. The same folders give the same bytes.

    Args:
        folders: one or more: what ``train``, ``evaluate --out`` and ``prepare`` wrote. A checkpoint without a folder
            ``report/`` still shows what its other files hold.
        out: the file; by default ``report.html`` in the first folder.
        title: of the page; by default the name of the only folder.

    Returns:
        The file.

    Raises:
        SettingError: no folder is given, or one twice.
        FolderError: a folder holds nothing to show or is damaged, or the file cannot be written or is
            read.

    >>> from tardif.preparation import prepare_folder
    >>> folder = prepare_folder(["pairs.jsonl"], None, "set-to-report", validation=0)
    >>> report(folder).name
    'report.html'
    """
    need("train", "A report")
    from tardif.report.page import render

    several = [folders] if isinstance(folders, str | Path) else list(folders)
    place = None if out is None else user_path(out)
    if place is not None:
        # The page of a folder is no part of what is drawn.
        read = [folder for folder in several if place.resolve() != (user_path(folder) / PAGE).resolve()]
        check_file(place, read=read)
    sources = read_sources(several)
    place = user_path(several[0]) / PAGE if place is None else place
    # A text may hold half a surrogate pair, which UTF-8 cannot encode.
    write_output(place, render(sources, title).encode("utf-8", "xmlcharrefreplace").decode("utf-8"))
    return place

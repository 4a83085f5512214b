"""A process that exports the query encoder of an index in a Qdrant service, so that a service need not import PyTorch.

A folder of an index, an embedded shard's too, holds such an encoder. A collection of a Qdrant service has no folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tardif.errors import ModelError, TardifError
from tardif.extras import MODEL, need
from tardif.interpreters import calling


def export_aside(index: str, folder: Path) -> None:
    """Export the query encoder of an index's model in a process of its own; it takes some seconds.

    Args:
        index: the address of the collection.
        folder: a new folder.

    Raises:
        MissingExtraError: PyTorch is not installed.
        ModelError: the model is missing, or cannot be exported.
    """
    need("train", f"Exporting the query encoder of {index}", MODEL)
    command = calling("tardif.serving.encoder_process:main", index, str(folder))
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = next(iter(reversed(done.stderr.strip().splitlines())), f"it ended with code {done.returncode}")
        raise ModelError(f"The query encoder of {index} cannot be exported, so it cannot be served: {said}")


def main(index: str, folder: str) -> NoReturn:
    """Export, in the process. An error is the last line on standard error."""
    try:
        export(index, Path(folder))
    except TardifError as error:
        sys.exit(" ".join(str(error).split()))
    sys.exit(0)


def export(index: str, folder: Path) -> None:
    """Export the query encoder of an index's model to a new folder, in this process.

    Raises:
        TardifError: the index or its model cannot be opened, or the model cannot be exported.
    """
    from tardif.encoder.onnx.convert import export_query_encoder
    from tardif.search.retriever import Retriever

    with Retriever(index) as retriever:
        export_query_encoder(retriever.model, folder)

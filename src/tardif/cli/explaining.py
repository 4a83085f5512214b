"""The verb ``explain``: why a document has its score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tardif.checks import MAX_TEXT
from tardif.cli.groups import verb
from tardif.cli.output import put, put_json
from tardif.cli.shared_options import AsJson, OpeningOptions, Quiet

if TYPE_CHECKING:
    from tardif.explanation import Explanation


@verb
def explain(
    where: Annotated[str, typer.Argument(metavar="MODEL|INDEX", help="A checkpoint, an exported one, or an index.")],
    query: Annotated[str, typer.Argument(help="The query.")],
    opening: OpeningOptions,
    text: Annotated[str | None, typer.Argument(help="The document's text; - reads it from stdin.")] = None,
    document: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Instead: a document, or piece, of the index.")
    ] = None,
    html: Annotated[Path | None, "Write a page: words marked, what each token matched, heat map."] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show which word of a document each word of a query matched.

    From an index without a text or an id, the best hit is explained.
    """
    from tardif.cli.explained import show_explanation
    from tardif.folders import check_file
    from tardif.index.manifest import is_index
    from tardif.index.qdrant.places import qdrant_place
    from tardif.progress import Console

    from_index = qdrant_place(where) is not None or is_index(Path(where))
    if text is not None and document is not None:
        raise typer.BadParameter("give a text or --id, not both", param_hint="TEXT")
    if not from_index and document is not None:
        raise typer.BadParameter(f"{where} is not an index: give a text, or - for stdin", param_hint="--id")
    if not from_index and text is None:
        raise typer.BadParameter("give the document's text, or - for stdin", param_hint="TEXT")
    if html is not None:
        check_file(html, read=[where, opening.model])  # before the model is loaded
    if text == "-":
        text = _stdin()
    found = _from_index(where, query, text, document, opening) if from_index else _of_text(where, query, text, opening)
    if found.note:
        Console(quiet=quiet).say(found.note)
    if html is not None:
        from tardif.report.explained_pair import write_explanation

        write_explanation(found, html)
    if as_json:
        put_json(found.as_json())
    elif html is not None:
        put(str(html))
    else:
        show_explanation(found)


def _stdin() -> str:
    """The text on stdin. Bytes that are not UTF-8 become replacement characters, as in files."""
    return sys.stdin.buffer.read(4 * MAX_TEXT).decode("utf-8", "replace")


def _from_index(index: str, query: str, text: str | None, document: str | None, opening: OpeningOptions) -> Explanation:
    from tardif.errors import DataError
    from tardif.search.retriever import Retriever

    how = opening.arguments()
    # Without a device the query is encoded in onnxruntime, as a search does.
    how["device"] = how["device"] if "device" in opening.given else None
    with Retriever(index, **how) as retriever:
        if text is not None:
            return retriever.explain_text(query, text)
        if document is not None:
            return retriever.explain(query, document)
        hits = retriever.search(query, k=1)
        if not hits:
            raise DataError(retriever.why_nothing(query))
        return retriever.explain(query, hits[0])


def _of_text(model: str, query: str, text: str | None, opening: OpeningOptions) -> Explanation:
    from tardif.checks import check_query
    from tardif.encoder.opening import ready_encoder
    from tardif.search.explain import explain_text

    # Checked before the model is loaded.
    query, trusts = check_query(query), opening.trust_remote_code
    ready = ready_encoder(model, device=opening.arguments()["device"], trust_remote_code=trusts)
    return explain_text(ready(), query, text or "")

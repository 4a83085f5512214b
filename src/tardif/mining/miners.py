"""Searchers by the name of their miner, and the hybrid searcher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.checks import check_choice, check_list
from tardif.cluster.connection import Cluster
from tardif.cluster.pool import Pool
from tardif.cluster.shipping import ship
from tardif.data.document_report import DocumentReport
from tardif.data.documents import stream_documents
from tardif.data.spooled import SpooledDocuments, at_hand
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.errors import SettingError
from tardif.mining.dense import DenseSearcher
from tardif.mining.late import LateSearcher
from tardif.mining.searcher import Scorer, Searcher
from tardif.mining.vector_cache import Encode, EncodeBlocks
from tardif.progress import Console
from tardif.ranking import DEPTH, fuse
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import Language
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

MINERS = ("lexical", "dense", "late", "hybrid")


def make_searcher(
    name: str,
    documents: Any,
    *,
    language: Language,
    base: str | Path = MINILM,
    model: MultiVectorEncoder | str | Path | None = None,
    dense_model: str | Path | None = None,
    size: str = "small",
    device: str = "cpu",
    cache: str | Path | None = None,
    console: Console | None = None,
    cluster: Cluster | None = None,
) -> Scorer:
    """Return a searcher over a corpus, by its miner's name.

    Args:
        name: ``lexical`` (BM25); ``dense`` (one vector per text); ``hybrid`` (both, fused; dense judges);
            ``late`` (exact MaxSim over the hybrid's candidates, or over the whole of a small corpus).
        documents: the corpus: Documents, or anything else that :func:`tardif.data.documents.stream_documents` reads,
            such as a file, a folder or a generator. It is read once, and no miner keeps its texts: the lexical one
            reads it as a stream, and the others keep what is large on disk until it is encoded.
        language: chooses stemmer, stopwords and dense model.
        base: the base that is trained. It replaces a missing dense model, and searches late by its raw token vectors
            if no ``model`` is given.
        model: the late-interaction model for ``late``: loaded, or a checkpoint's folder or hub id.
        dense_model: a dense model in place of the language's.
        size: of the language's dense model: small, base or large.
        device: torch's name of the device.
        cache: a folder for the corpus's vectors.
        console: where to show progress.
        cluster: where dense and late documents are encoded, in place of this process. A late model must be given by
            its folder or hub id then.

    Raises:
        SettingError: the name or size is not known.
        ModelError: a model is missing or cannot be loaded.
        DataError: the corpus cannot be read, or two documents have the same id.
        FolderError: the cache, or the folder for temporary files, cannot be written.

    >>> from tardif.text.languages import language
    >>> corpus = ({"id": f"d{number}", "text": text} for number, text in enumerate(["salt from the sea", "a harbour"]))
    >>> [identity for identity, _ in make_searcher("lexical", corpus, language=language("en")).search(["sea"], 5)[0]]
    ['d0']
    """
    check_choice("miner", name, MINERS)
    documents = _stream(documents, console or Console(quiet=True))
    if name != "lexical":
        documents = at_hand(documents)
    dense = partial(
        DenseSearcher,
        documents,
        language=language,
        model=dense_model,
        size=size,
        base=base,
        device=device,
        cache=cache,
        console=console,
        cluster=cluster,
    )

    # Not made unless it is needed: late interaction scores the whole of a small corpus without candidates.
    def hybrid() -> HybridSearcher:
        return HybridSearcher([LexicalSearcher(documents, language), dense()])

    if name == "lexical":
        return LexicalSearcher(documents, language)
    if name == "dense":
        return dense()
    if name == "hybrid":
        return hybrid()
    with _late_spread(cluster, model, base, console) as over:
        opened = _late_model(model, base, device)
        return LateSearcher(opened, documents, hybrid, cache=cache, console=console, over=over)


def _stream(documents: Any, console: Console) -> Iterable[Document]:
    """Documents as they are, or read from what the user gave; the report on it is shown at its end."""
    if isinstance(documents, list | tuple | SpooledDocuments) and all(
        isinstance(document, Document) for document in documents[:1]
    ):
        return documents

    def read() -> Iterator[Document]:
        report = DocumentReport()
        for _, document in stream_documents(documents, report=report):
            yield document
        for line in report.lines():
            console.say(line)

    return read()


@contextmanager
def _late_spread(
    cluster: Cluster | None, model: Any, base: str | Path, console: Console | None
) -> Iterator[EncodeBlocks | None]:
    """The encoding of documents for a late searcher by a cluster, if there is one."""
    if cluster is None:
        yield None
        return
    if model is not None and not isinstance(model, str | Path):
        raise SettingError("A model in memory cannot be sent to a cluster: give its folder.")
    make = partial(_opened_encode, model is not None, cluster.device)
    folder = resolve_base(base if model is None else model).folder
    with Pool(cluster, make, [ship(folder)], console or Console(quiet=True)) as pool:
        yield pool.map


def _opened_encode(is_model: bool, device: str, folder: Path) -> Encode:
    """Open a late model, or the base that stands in for it, in a worker; return what encodes documents."""
    from tardif.encoder.encoding import encode_texts

    opened = _late_model(folder if is_model else None, folder, device)
    return lambda texts: encode_texts(opened, texts, "document")


def _late_model(model: Any, base: str | Path, device: str) -> MultiVectorEncoder:
    """The given model, or the untrained base: itself if it is a ColBERT, else its raw token vectors."""
    from tardif.encoder.model import build_model, open_model, raw_view
    from tardif.encoder.recipe import Recipe

    if isinstance(model, str | Path):
        return open_model(str(model), device=device)
    if model is not None:
        return model  # type: ignore[no-any-return]
    found = resolve_base(base)
    built = build_model(found, Recipe(), device=device)
    return built if found.is_colbert else raw_view(built, prompted=False)


class HybridSearcher:
    """Fuses the rankings of several searchers (:func:`tardif.ranking.fuse`).

    A ratio of two fused scores means nothing, so :meth:`score` returns the scores of one searcher, the judge.

    Args:
        searchers: the searchers to fuse, all over the same corpus.
        judge: gives the scores of :meth:`score`; by default the first searcher that is not lexical,
            else the first.
        depth: the least number of ranks of each that are fused.

    >>> from tardif.text.languages import language
    >>> words = LexicalSearcher([Document("a", "salt from the sea"), Document("b", "a harbour")], language("en"))
    >>> HybridSearcher([words]).search(["sea salt"], 1)[0][0][0]
    'a'

    Raises:
        SettingError: there is no searcher, or the judge cannot score.
    """

    def __init__(self, searchers: Sequence[Searcher], judge: Scorer | None = None, *, depth: int = DEPTH) -> None:
        if not searchers:
            raise SettingError("A hybrid searcher needs at least one searcher.")
        first = next((one for one in searchers if not isinstance(one, LexicalSearcher)), searchers[0])
        self._judge: Scorer = first if judge is None else judge  # type: ignore[assignment]
        if not hasattr(self._judge, "score"):
            raise SettingError(
                f"{type(self._judge).__name__} cannot judge a hybrid search, since it has no scores for given "
                "documents: give another judge."
            )
        self._searchers = list(searchers)
        self._depth = depth

    @property
    def notes(self) -> list[str]:
        """What the user should know about the searchers' models."""
        return [note for searcher in self._searchers for note in getattr(searcher, "notes", [])]

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, fused score), best first; equal scores by id, the highest
        first."""
        queries = check_list(queries, "queries", SettingError)
        # More ranks than are asked for: a document that two searchers rank low may be among the best.
        rankings = [searcher.search(queries, max(k, self._depth)) for searcher in self._searchers]
        return [fuse(of_query, k) for of_query in zip(*rankings, strict=True)]

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The judge's scores of given documents (ids) of each query.

        Raises:
            DataError: a document is not in the corpus.
        """
        return self._judge.score(queries, documents)

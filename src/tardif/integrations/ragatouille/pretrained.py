"""RAGatouille's model over :class:`tardif.Retriever`: index, search, rerank, and search in memory."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tardif.checks import shown
from tardif.devices import allocate
from tardif.encoder.base import Base, resolve_base
from tardif.errors import DataError, FolderError, ModelError, SettingError
from tardif.index.filter_nodes import And, Field, In, Value
from tardif.index.filters import parse_filter
from tardif.index.protocol import RECALL
from tardif.integrations.ragatouille.collection import Splitter, as_ids, documents_of
from tardif.integrations.ragatouille.data import Preprocessing, llama_index_sentence_splitter
from tardif.integrations.ragatouille.encoded_documents import EncodedDocuments
from tardif.integrations.ragatouille.indexes import IndexFolder, passages_of
from tardif.integrations.ragatouille.remarks import ignored
from tardif.progress import Console
from tardif.search.retriever import Retriever
from tardif.types import Document, Hit

if TYPE_CHECKING:
    from langchain_core.documents import BaseDocumentCompressor
    from langchain_core.retrievers import BaseRetriever
    from sentence_transformers import MultiVectorEncoder

INDEX_ROOT = ".ragatouille/"

# A fast search may lose one hit in ten of an exact one's.
_FAST = 0.9


class RAGPretrainedModel:
    """A late-interaction model, and the index that it searches.

    Make one with :meth:`from_pretrained` or :meth:`from_index`.

    >>> RAG = RAGPretrainedModel.from_pretrained("models/support", verbose=0)
    >>> path = RAG.index(["The moon makes the tides.", "Bread rises in warmth."], index_name="demo")
    >>> [hit["rank"] for hit in RAG.search("what makes the tides?", k=2)]
    [1, 2]
    """

    def __init__(self) -> None:
        self.index_name: str | None = None
        self.verbose = 1
        self._device = "cpu"
        self._source: str | Path = ""
        self._base: Base | None = None
        self._opened: MultiVectorEncoder | None = None
        # RAGatouille tells an index's name and folder before anything is encoded.
        self._indexes = Path(INDEX_ROOT) / "colbert" / "indexes"
        self._retriever: Retriever | None = None
        self._memory: EncodedDocuments | None = None
        # Passages are numbered when a hit needs it first, and again after a change.
        self._numbers: tuple[tuple[int, int], dict[str, int]] | None = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        n_gpu: int = -1,
        verbose: int = 1,
        index_root: str | None = None,
    ) -> RAGPretrainedModel:
        """Take a ColBERT checkpoint; its weights are read when something is encoded.

        Args:
            pretrained_model_name_or_path: a folder or hub id, in sentence-transformers', PyLate's or Stanford's format.
            n_gpu: -1 uses a GPU where there is one; 0 the CPU.
            verbose: 0 shows no progress.
            index_root: where indexes are stored; by default ``.ragatouille/``.

        Raises:
            ModelError: it does not exist, or is no late-interaction model.
        """
        self = cls()
        self._source, self._device, self.verbose = pretrained_model_name_or_path, _device(n_gpu), verbose
        self._base = resolve_base(pretrained_model_name_or_path)
        if Path(pretrained_model_name_or_path).is_dir():  # an index remembers it, wherever that is opened
            self._source = Path(pretrained_model_name_or_path).absolute()
        if not self._base.is_colbert:
            raise ModelError(
                f"{pretrained_model_name_or_path} is no late-interaction model: make one of it with RAGTrainer."
            )
        if index_root is not None:
            self._indexes = Path(index_root) / "colbert" / "indexes"
        return self

    @classmethod
    def from_index(cls, index_path: str | Path, n_gpu: int = -1, verbose: int = 1) -> RAGPretrainedModel:
        """Open an index with its model.

        An index that RAGatouille wrote is encoded again, once, from the texts beside its tensors; interrupted, the same
        call continues.

        Args:
            index_path: the folder that :meth:`index` returned, or one of RAGatouille's.
            n_gpu: as for :meth:`from_pretrained`.
            verbose: as for :meth:`from_pretrained`.

        Raises:
            FolderError: there is no index, or its model is gone.

        >>> built = RAGPretrainedModel.from_pretrained("models/support", verbose=0)
        >>> path = built.index(["Tides follow the moon.", "Bread needs yeast."], index_name="two-texts")
        >>> len(RAGPretrainedModel.from_index(path, verbose=0).search("what moves the sea?", k=2))
        2
        """
        folder = IndexFolder(Path(index_path).absolute())
        self = cls()
        self._device, self.verbose = _device(n_gpu), verbose
        self._indexes = folder.path.parent
        self._use(folder)
        return self

    @property
    def model(self) -> MultiVectorEncoder:
        """The model itself, loaded on first use."""
        if self._opened is None:
            from tardif.encoder.model import open_model

            self._opened = open_model(str(self._based().folder), device=self._device)
        return self._opened

    def _based(self) -> Base:
        """The model on disk: the one given, or the index's own, wherever it is now."""
        if self._base is None:
            assert self._retriever is not None
            assert self._retriever.home is not None
            self._base = resolve_base(self._retriever.home.path)
        return self._base

    @property
    def index_path(self) -> str | None:
        """The folder of the index in use."""
        return None if self.index_name is None else str(self._indexes / self.index_name)

    def index(
        self,
        collection: list[str],
        document_ids: list[str] | None = None,
        document_metadatas: list[dict[str, Any]] | None = None,
        index_name: str | None = None,
        overwrite_index: bool | str = True,
        max_document_length: int = 256,
        split_documents: bool = True,
        document_splitter_fn: Splitter | None = llama_index_sentence_splitter,
        preprocessing_fn: Preprocessing | list[Preprocessing] | None = None,
        bsize: int = 32,
        use_faiss: bool = False,
        *,
        nbits: int = 8,
    ) -> str:
        """Build an index, and return its folder.

        Args:
            collection: the documents' texts.
            document_ids: an id for each; by default made of the texts, so that a second run gives the same.
            document_metadatas: a dict for each, given back with its hits.
            index_name: names the folder; by default the model's name.
            overwrite_index: replace an index of this name; ``"reuse"`` and ``"resume"`` keep one that is there.
            max_document_length: cut documents longer than this number of the model's tokens.
            split_documents: whether to cut.
            document_splitter_fn: another way to cut: a function of (documents, ids, chunk_size).
            preprocessing_fn: a function of (passages, ids), or several.
            bsize: without a meaning here.
            use_faiss: without a meaning here.
            nbits: bits of each stored component: 16, 8, 4 or 2.

        Raises:
            ValueError: ids or metadata do not fit the collection.
            FolderError: there is an index of this name, and ``overwrite_index`` is false.
        """
        _ignore(bsize, use_faiss)
        source = str(self._source or self._based().folder)
        name = index_name or f"{Path(source).name}-index"
        folder = IndexFolder(self._indexes / _check_index_name(name))
        if folder.exists and overwrite_index is False:
            raise FolderError(f"There is an index at {folder.path}: pass overwrite_index=True, or another index_name.")
        if folder.exists and overwrite_index in ("reuse", "resume"):
            self._use(folder)
            return str(folder.path)
        splitter = self._splitter(document_splitter_fn, split_documents)
        documents = documents_of(
            collection, document_ids, document_metadatas, splitter, preprocessing_fn, max_document_length
        )
        if not documents:
            raise DataError("The collection is empty: give at least one text.")
        self._close()
        options = {"device": self._device, "quiet": not self.verbose}
        self._retriever = folder.build(source, documents, bits=nbits, overwrite=True, **options)
        folder.write(self._retriever, checkpoint=source, index_name=name, doc_maxlen=max_document_length)
        self.index_name = name
        return str(folder.path)

    def add_to_index(
        self,
        new_collection: list[str],
        new_document_ids: list[str] | None = None,
        new_document_metadatas: list[dict[str, Any]] | None = None,
        index_name: str | None = None,
        split_documents: bool = True,
        document_splitter_fn: Splitter | None = llama_index_sentence_splitter,
        preprocessing_fn: Preprocessing | list[Preprocessing] | None = None,
        bsize: int = 32,
        use_faiss: bool = False,
    ) -> None:
        """Add documents to the index; one whose id is there is replaced, with all of its passages.

        Args:
            new_collection: texts, as for :meth:`index`.
            new_document_ids: ids, as for :meth:`index`.
            new_document_metadatas: metadata, as for :meth:`index`.
            index_name: another index than the one in use.
            split_documents: as for :meth:`index`.
            document_splitter_fn: as for :meth:`index`.
            preprocessing_fn: as for :meth:`index`.
            bsize: without a meaning here.
            use_faiss: without a meaning here.

        Raises:
            SettingError: no index is in use.
        """
        _ignore(bsize, use_faiss)
        retriever, folder = self._in_use(index_name)
        splitter = self._splitter(document_splitter_fn, split_documents)
        documents = documents_of(
            new_collection, new_document_ids, new_document_metadatas, splitter, preprocessing_fn, folder.longest()
        )
        if documents:
            with folder.changing(retriever):
                retriever.add(documents, chunk=None, quiet=not self.verbose)

    def delete_from_index(self, document_ids: str | list[str], index_name: str | None = None) -> None:
        """Delete documents, with all of their passages, by their ids; ids that are not there are passed over.

        Raises:
            SettingError: no index is in use.
        """
        retriever, folder = self._in_use(index_name)
        with folder.changing(retriever):
            retriever.delete(as_ids(document_ids))

    def search(
        self,
        query: str | list[str],
        index_name: str | None = None,
        k: int = 10,
        force_fast: bool = False,
        zero_index_ranks: bool = False,
        doc_ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The ``k`` best passages of a query.

        Args:
            query: a text, or a list of texts.
            index_name: another index than the one in use.
            k: how many passages.
            force_fast: prune more: about nine in ten of an exact search's hits, in place of 99 in 100.
            zero_index_ranks: count ranks from 0 in place of 1.
            doc_ids: only passages of these documents; of an empty list, none.
            **kwargs: further options of :meth:`tardif.Retriever.search`, such as ``where`` or ``exact``.

        Returns:
            For a text a list of hits, for a list of texts a list of lists. A hit is a dict: ``content``, ``score``,
            ``rank``, ``document_id``, ``passage_id`` (its place in ``collection.json``) and, where there is any,
            ``document_metadata``.

        Raises:
            SettingError: no index is in use, or an option cannot be used.
        """
        retriever, folder = self._in_use(index_name)
        if doc_ids is not None:
            # Made here and not parsed: a filter that is written has a limit, ids of an application have none.
            only = In(Field.own("id"), tuple(Value("text", name) for name in as_ids(doc_ids)))
            given = kwargs.pop("where", None)
            kwargs["where"] = only if given is None else And((only, parse_filter(given)))
        options = {"recall": _FAST if force_fast else RECALL, **kwargs}
        found = retriever.search_many([query] if isinstance(query, str) else query, k, **options)
        numbers = self._numbers_of(retriever, folder, [hit.document_id for hits in found for hit in hits])
        answers = [[_as_dict(hit, numbers, zero_index_ranks) for hit in hits] for hits in found]
        return answers[0] if isinstance(query, str) else answers

    def rerank(
        self,
        query: str | list[str],
        documents: list[str],
        k: int = 10,
        zero_index_ranks: bool = False,
        bsize: Literal["auto"] | int = "auto",
    ) -> Any:
        """Order documents for a query, without an index.

        Args:
            query: a text, or a list of texts.
            documents: texts.
            k: how many to give; all of them where there are fewer.
            zero_index_ranks: count ranks from 0 in place of 1.
            bsize: without a meaning here.

        Returns:
            As :meth:`search`; a hit has ``content``, ``score``, ``rank`` and ``result_index``, its place in
            ``documents``.

        >>> RAG = RAGPretrainedModel.from_pretrained("models/support", verbose=0)
        >>> hits = RAG.rerank("what makes the tides?", ["Bread rises.", "The moon makes the tides."], k=1)
        >>> sorted(hits[0])
        ['content', 'rank', 'result_index', 'score']
        """
        _ignore(bsize)
        return EncodedDocuments(self.model).add(documents).search(query, k, zero=zero_index_ranks)

    def encode(
        self,
        documents: list[str],
        bsize: Literal["auto"] | int = "auto",
        document_metadatas: list[dict[str, Any]] | None = None,
        verbose: bool = True,
        max_document_length: Literal["auto"] | int = "auto",
    ) -> None:
        """Encode documents into memory, behind those that are there, for :meth:`search_encoded_docs`.

        Args:
            documents: texts.
            bsize: without a meaning here.
            document_metadatas: a dict for each, given back with its hits.
            verbose: show progress.
            max_document_length: without a meaning here: documents are read as far as the model reads.

        Raises:
            ValueError: the metadata do not fit the documents.
        """
        _ignore(bsize)
        if max_document_length != "auto":
            ignored("max_document_length", "documents are read as far as the model reads them")
        if document_metadatas is not None and len(document_metadatas) != len(documents):
            raise ValueError("document_metadatas must be the same length as documents")
        if self._memory is None:
            self._memory = EncodedDocuments(self.model)
        self._memory.add(documents, document_metadatas)
        if verbose and self.verbose:
            Console().say(f"{len(documents)} documents encoded, {len(self._memory)} in memory.")

    def search_encoded_docs(self, query: str | list[str], k: int = 10, bsize: int = 32) -> Any:
        """Search the documents that :meth:`encode` holds in memory.

        Returns:
            As :meth:`rerank`, with ``document_metadata`` where there is any.

        Raises:
            SettingError: no documents are encoded.
        """
        _ignore(bsize)
        if self._memory is None:
            raise SettingError("No documents are encoded: call encode first.")
        return self._memory.search(query, k)

    def clear_encoded_docs(self, force: bool = False) -> None:
        """Forget the documents in memory; without ``force`` after ten seconds, in which Ctrl-C keeps them."""
        if self._memory is not None and not force:
            Console().say("The encoded documents are deleted in 10 seconds: interrupt to keep them.")
            time.sleep(10)
        self._memory = None

    def as_langchain_retriever(self, **kwargs: Any) -> BaseRetriever:
        """A LangChain retriever over the index in use; ``kwargs`` are those of :meth:`search`."""
        from tardif.integrations.ragatouille.components import RAGatouilleLangChainRetriever

        return RAGatouilleLangChainRetriever(model=self, kwargs=kwargs)

    def as_langchain_document_compressor(self, k: int = 5, **kwargs: Any) -> BaseDocumentCompressor:
        """A LangChain document compressor that reranks; ``kwargs`` are those of :meth:`rerank`."""
        from tardif.integrations.ragatouille.components import RAGatouilleLangChainCompressor

        return RAGatouilleLangChainCompressor(model=self, k=k, kwargs=kwargs)

    def _numbers_of(self, retriever: Retriever, folder: IndexFolder, asked: Sequence[str]) -> dict[str, int]:
        """The place of each passage in ``collection.json``, read again after a change by any process."""
        known, version = self._numbers, folder.version()
        if known is None or known[0] != version or not all(name in known[1] for name in asked):
            places = {passage.id: number for number, passage in enumerate(passages_of(retriever))}
            self._numbers = known = version, places
        return known[1]

    def _splitter(self, asked: Splitter | None, split_documents: bool) -> Splitter | None:
        """The way to cut. The default splitter estimates tokens; here the model's own are counted."""
        if not split_documents:
            return None
        return self._split if asked is llama_index_sentence_splitter else asked

    def _split(self, documents: Sequence[str], ids: Sequence[str], chunk_size: int) -> list[dict[str, str]]:
        """Cut documents by the model's own tokens, so that each passage is read whole."""
        from tardif.data.chunking import Chunker
        from tardif.encoder.truncation import as_read

        read = as_read(self._based())
        cut = Chunker(read, min(chunk_size, read.max_tokens)).chunk
        return [
            {"document_id": name, "content": piece.text}
            for name, text in zip(ids, documents, strict=True)
            for piece in cut(Document(name, text))
        ]

    def _in_use(self, index_name: str | None) -> tuple[Retriever, IndexFolder]:
        """The index in use, or another of the same root, which is in use from then on."""
        name = index_name or self.index_name
        if name is None:
            raise SettingError("No index is in use: build one with index(), or pass index_name.")
        folder = IndexFolder(self._indexes / (name if name == self.index_name else _check_index_name(name)))
        if self._retriever is None or name != self.index_name:
            self._use(folder)
        assert self._retriever is not None
        return self._retriever, folder

    def _use(self, folder: IndexFolder) -> None:
        opened = folder.open(device=None if self._device == "cpu" else self._device, quiet=not self.verbose)
        self._close()  # only now: where the other cannot be opened, this one stays in use
        self._retriever, self.index_name = opened, folder.path.name

    def _close(self) -> None:
        self._numbers = None
        if self._retriever is not None:
            self._retriever.close()
        self._retriever = None


def _as_dict(hit: Hit, numbers: dict[str, int], zero: bool) -> dict[str, Any]:
    """A hit as RAGatouille gives it."""
    return {
        "content": hit.text,
        "score": hit.score,
        "rank": hit.rank - zero,
        "document_id": hit.document_id if hit.piece is None else hit.piece.document,
        # None: another process deleted the passage while this one searched.
        "passage_id": numbers.get(hit.document_id),
        **({"document_metadata": dict(hit.metadata)} if hit.metadata else {}),
    }


def _check_index_name(name: str) -> str:
    """Return the name of an index's folder, which may have any letters, as RAGatouille's may.

    Raises:
        SettingError: it is no name, or leads elsewhere.
    """
    if (
        not isinstance(name, str)
        or not name.strip()
        or name[0] == "."
        or re.search(r"[/\\\x00-\x1f\ud800-\udfff]", name)
    ):
        raise SettingError(
            f"index_name={shown(name)}: give a name without slashes and without a dot in front; from_pretrained(..., "
            "index_root=) chooses the folder."
        )
    if len(name.encode()) > 200:
        raise SettingError(f"index_name={shown(name)} is too long: give at most 200 bytes.")
    return name


def _ignore(bsize: Literal["auto"] | int, use_faiss: bool = False) -> None:
    if bsize not in ("auto", 32):
        ignored("bsize", "batches are made by length, and results do not depend on them")
    if use_faiss:
        ignored("use_faiss", "no index needs faiss")


def _device(n_gpu: int) -> str:
    """Torch's name of the device: a GPU unless 0 are wanted or there is none."""
    return "cpu" if n_gpu == 0 else allocate("auto").kind

"""Build an index: encode a corpus block by block into a folder that is published when it is whole.

An interrupted build leaves a hidden folder beside the output. The next call with the same model and options continues
there: documents that it holds unchanged are not encoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tardif.batching import batched
from tardif.checks import check_choice, is_number
from tardif.cluster.connection import check_address, connected
from tardif.cluster.pool import Pool
from tardif.cluster.shipping import ship
from tardif.encoder.base import Base, resolve_base
from tardif.encoder.token_vectors import encode_documents
from tardif.errors import DataError, FolderError, SettingError
from tardif.folders import check_place, holding, name_aside, publish, real_place, remove, sweep, writable
from tardif.index.codebooks import centroid_count
from tardif.index.codes import check_bits
from tardif.index.disk import DiskIndex
from tardif.index.manifest import is_index
from tardif.index.pieces import differing
from tardif.index.protocol import Index, Vectors
from tardif.index.spool import SpooledCorpus
from tardif.index.token_groups import Groups
from tardif.locks import lock_file
from tardif.progress import Console
from tardif.search.corpus_reader import CorpusReader
from tardif.search.indexed_model import IndexedModel
from tardif.search.query_encoder import ENCODER, bind_encoder, export_encoder
from tardif.search.source_notes import note_source
from tardif.search.sync import source_of
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.data.chunking import Chunk


class DocumentVectors(NamedTuple):
    """Documents as an index stores them.

    Attributes:
        vectors: packed token vectors ``[rows, dim]``.
        lengths: the number of rows of each document.
        groups: of pooled tokens: for each document, the row that each of its tokens is part of; None for unpooled ones.
    """

    vectors: Vectors
    lengths: list[int]
    groups: Groups | None = None


Encode = Callable[[Sequence[str]], DocumentVectors]
# Parts of a corpus, each some texts, to the vectors of each part, in the parts' order. It may read ahead.
EncodeParts = Callable[[Iterable[Sequence[str]]], Iterable[DocumentVectors]]

# Of encoding. Half precision (fp16) has too small a range for some encoders.
PRECISIONS = ("fp32", "bf16", "auto")
# From so many documents on, a faster way of encoding them saves minutes and is worth a line.
_MANY = 2000
_FASTER = (
    "This processor computes faster in bfloat16: --precision bf16 (in Python precision='bf16') saves a third of the "
    "time or more."
)
# A unit vector's length in bfloat16 is nearer to 1 than this.
_ROUNDED = 0.02
# Documents encoded and written together: a killed build loses at most this many.
BLOCK = 2048
# Tokens assumed per document before any is encoded: it only sets the size of the first block.
_TOKENS_PER_DOCUMENT = 100
# Texts per call of the model: progress advances after each call.
_PART = 128


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How to build an index; checked when it is made.

    Args:
        chunk: tokens of a piece, ``auto`` or None.
        bits: of each stored component.
        pool: how many tokens of a document become one vector.
        words: the language of an index that is also searched by words; None for vectors alone.
        device: torch's name of the device to encode on.
        precision: of the products that encode documents: ``fp32``, ``bf16``, or ``auto``
            (:func:`tardif.encoder.precision.resolve`).
        threads: for comparing vectors with centroids; None for all processors.
        trust_remote_code: let the model run its own code.
        overwrite: replace an existing folder.
        ray: the Ray cluster that encodes; None: this process does.

    Raises:
        SettingError: ``bits``, ``pool`` or ``precision`` cannot be used.
    """

    chunk: Chunk = "auto"
    bits: int = 8
    pool: float = 1.0
    words: str | None = None
    device: str = "cpu"
    precision: str = "fp32"
    threads: int | None = None
    trust_remote_code: bool = False
    overwrite: bool = False
    ray: str | None = None

    def __post_init__(self) -> None:
        if self.ray is not None:
            check_address(self.ray)
        check_choice("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "bits", check_bits(self.bits))
        object.__setattr__(self, "pool", check_pool(self.pool))


def build_index(model: str | Path, reader: CorpusReader, out: Path, options: BuildOptions) -> MultiVectorEncoder:
    """Read, encode and index a corpus. Interrupted, the same call continues.

    Args:
        model: a late-interaction checkpoint: a folder or a hub id.
        reader: gives the corpus, and shows progress.
        out: the index's folder, absolute.
        options: how.

    Returns:
        The model that encoded the corpus.

    Raises:
        ModelError: the model cannot be loaded, or is not a late-interaction model.
        DataError: the corpus cannot be read or is empty, or two documents have the same id.
        FolderError: the folder cannot be written, or another process builds this index.
    """
    with corpus_for(model, reader, options, spool_beside(out)) as (base, corpus, encoder, decided):
        remembered = IndexedModel.remember(base.folder, out, decided.precision)
        manifest = {"bits": options.bits, "pool": options.pool, "words": options.words, "model": remembered}
        with _under_way(out, manifest, options) as index:
            with (
                encoding(encoder, base.folder, decided, reader.console) as encode,
                reader.console.progress("Indexing", len(corpus), "documents") as bar,
            ):
                fill(
                    index,
                    corpus,
                    encode,
                    advance=bar.advance,
                    resumed=lambda count: bar.resume(bar.done + count),
                    source=source_of(reader.documents),
                )
            # Before the index is published: a search of it never sees it without its query encoder.
            export_encoder(encoder, index.folder / ENCODER, reader.console)
            bind_encoder(index)
            note_source(index, reader, source_of(reader.documents), options.chunk, home=True)
    return encoder


@contextmanager
def corpus_for(
    model: str | Path, reader: CorpusReader, options: BuildOptions, spool: Path | None = None
) -> Iterator[tuple[Base, SpooledCorpus, MultiVectorEncoder, BuildOptions]]:
    """Give a model's checkpoint, a corpus cut for it, the opened model, and the options with the precision that
    ``auto`` means for it. Arguments and errors are those of :func:`build_index` and :meth:`CorpusReader.corpus
    <tardif.search.corpus_reader.CorpusReader.corpus>`."""
    from tardif.encoder.model import open_model
    from tardif.encoder.precision import resolve

    base = resolve_base(model, trust_remote_code=options.trust_remote_code)
    # Read before the model is opened: an unreadable corpus is reported within a second.
    with reader.corpus(options.chunk, lambda: base, spool) as corpus:
        encoder = open_model(base, device=options.device, trust_remote_code=options.trust_remote_code)
        reader.show_unread(encoder, corpus)
        meaning = partial(resolve, device=options.device, width=base.hidden_size)
        if len(corpus) >= _MANY and options.precision == "fp32" and meaning("auto") == "bf16":
            reader.console.say(_FASTER)
        # On a cluster it is decided here, for all workers: they are to give the same vectors.
        yield base, corpus, encoder, replace(options, precision=meaning(options.precision))


@contextmanager
def encoding(
    encoder: MultiVectorEncoder, folder: Path, options: BuildOptions, console: Console
) -> Iterator[EncodeParts]:
    """Give what encodes documents: the model here, or copies of it on a cluster.

    Args:
        encoder: the model, opened.
        folder: its folder.
        options: how.
        console: says when workers of the cluster are lost.

    Raises:
        ClusterError: the cluster cannot be reached.
    """
    if options.ray is None:
        yield partial(map, lambda texts: document_vectors(encoder, texts, options.pool, options.precision))
        return
    with connected(options.ray) as cluster:
        make = partial(opened_encode, options.pool, options.precision, cluster.device, options.trust_remote_code)
        with Pool(cluster, make, [ship(folder)], console) as pool:
            yield pool.map


def opened_encode(pool: float, precision: str, device: str, trust_remote_code: bool, folder: Path) -> Encode:
    """Open a model in a worker, or for a shard, and return what encodes documents.

    Args:
        pool, precision: as for :func:`document_vectors`.
        device: torch's name of the device.
        trust_remote_code: let the model run its own code.
        folder: of the model.
    """
    from tardif.encoder.model import open_model

    base = resolve_base(folder, trust_remote_code=trust_remote_code)
    encoder = open_model(base, device=device, trust_remote_code=trust_remote_code)
    return lambda texts: document_vectors(encoder, texts, pool, precision)


def spool_beside(out: Path) -> Path:
    """Return a new name for the corpus on the disk of the index, which has room for it."""
    name = name_aside(real_place(out), "partial")
    parent = next(parent for parent in name.parents if parent.exists())  # those of the index may not be made yet
    return parent / name.name


def work_beside(place: Path) -> Path:
    """Return the folder in which an index grows that becomes ``place``.

    Beside it, so that publishing is a rename on one file system; without a random part, so that it is found again.

    >>> work_beside(Path("support.index"))
    PosixPath('.support.index.indexing')
    """
    return place.with_name(f".{place.name}.indexing")


def check_corpus(corpus: SpooledCorpus) -> None:
    """Raise if there is nothing to index.

    Raises:
        DataError: the corpus is empty.
    """
    if not len(corpus):
        raise DataError("The corpus is empty: there is nothing to index.")


@contextmanager
def _under_way(out: Path, manifest: Mapping[str, Any], options: BuildOptions) -> Iterator[DiskIndex]:
    """Give an index that becomes ``out`` when the block ends without an error; an interrupted one is continued.

    Args:
        out: the index's folder, absolute.
        manifest: arguments of :meth:`DiskIndex.create`; an interrupted build with others is not continued.
        options: how.

    Raises:
        FolderError: another process builds this index, or the folder cannot be written.
    """
    place = real_place(out)
    work = work_beside(place)
    with holding(out, overwrite=options.overwrite, what=f"{out} is being built"), writable(out):
        index = _interrupted(work, manifest, options.threads)
        if index is None:
            remove(work)
            index = DiskIndex.create(work, **manifest, threads=options.threads)
        try:
            yield index
            index.close()
            finish(work, place)
        finally:
            if work.exists():
                is_empty = not len(index)
                index.close()
                if is_empty:  # nothing to continue from
                    remove(work)


def finish(work: Path, place: Path) -> None:
    """Publish a finished index: ``work`` becomes ``place``. The caller holds its lock.

    Raises:
        FolderError: meanwhile something that is not Tardif's has come to be there; ``work`` stays.
    """
    check_place(place, overwrite=True)
    # Leftovers of a process that was killed while it exported the encoder.
    sweep(work / ENCODER)
    remove(lock_file(work / ENCODER))
    # Renamed first: if this process is killed now, the next build must not continue from a finished index.
    aside = name_aside(place, "partial")
    work.rename(aside)
    try:
        publish(aside, place)
    except BaseException:
        if aside.exists():
            aside.rename(work)
        raise


def _interrupted(work: Path, manifest: Mapping[str, Any], threads: int | None) -> DiskIndex | None:
    """The index that an interrupted build left, if it was built with the same model and options."""
    if not is_index(work):
        return None
    try:
        index = DiskIndex(work, threads=threads)
    except FolderError:  # damaged, or of another version of the format
        return None
    # Compared after opening: an index of other options, or of another model, is built from the beginning.
    if all(index.manifest.get(name) == value for name, value in manifest.items()):
        return index
    index.close()
    return None


def fill(
    index: DiskIndex,
    corpus: SpooledCorpus,
    encode: EncodeParts,
    *,
    advance: Callable[[int], None] | None = None,
    resumed: Callable[[int], None] | None = None,
    source: str = "",
) -> None:
    """Make an index hold exactly the documents of a corpus. Documents that it holds unchanged are not encoded again.

    One block of documents is in memory at a time, with its vectors. The first block is a random sample of the whole
    corpus, because the centroids are learned from it; the other blocks follow in the given order. All pieces of a
    document are written together.

    Args:
        index: empty, or left by an interrupted call.
        corpus: the documents, on disk.
        encode: parts of the corpus to vectors; one that reads ahead holds the texts of the parts that it has read.
        advance: called with the number of documents (or pieces) encoded, for progress.
        resumed: called with the number of documents that the index already held.
        source: the file or folder that the documents came from.

    Raises:
        DataError: the corpus is empty, or vectors are not finite numbers.
        FolderError: the folder cannot be written.
    """
    check_corpus(corpus)
    sampled: list[Document] = []

    def blocks() -> Iterator[list[Document]]:
        for number, block in enumerate(corpus.sample_first(sample_size(corpus), BLOCK)):
            missing = differing(index, block)
            if resumed is not None and len(missing) < len(block):
                resumed(len(block) - len(missing))
            if missing:
                if number == 0:
                    sampled.extend(missing)
                yield missing

    with index.words_signed_last():
        for documents, encoded in encoded_blocks(blocks(), encode, advance):
            if sampled:  # now the mean number of tokens is known
                index.expect(len(encoded.vectors) // len(sampled) * len(corpus))
                sampled.clear()
            index.add(documents, *encoded, source=source)
        # An interrupted build may have indexed documents that are gone from the corpus since.
        if len(index) > corpus.wholes:
            for gone in batched(corpus.unknown(index.each_id()), BLOCK):
                index.delete(gone)
    index.wait()
    index.sweep()  # no write follows: what the last compaction replaced would be published


def sample_size(corpus: SpooledCorpus) -> int:
    """Return how many documents and pieces of a corpus centroids are learned from."""
    # Half a document per centroid is some 50 vectors; k-means uses 32 of them (tardif.index.codes).
    return max(BLOCK, centroid_count(len(corpus) * _TOKENS_PER_DOCUMENT) // 2)


def add_documents(
    index: Index,
    blocks: Iterable[Sequence[Document]],
    encode: Encode,
    *,
    advance: Callable[[int], None] | None = None,
    source: str = "",
) -> int:
    """Encode documents and add them to an index, block by block; all pieces of a document are in one block.

    Args:
        index: to be changed.
        blocks: whole documents and pieces.
        encode: texts to vectors.
        advance: called with the number of documents (or pieces) encoded, for progress.
        source: the file or folder that the documents came from.

    Returns:
        How many documents of the index were replaced.

    Raises:
        DataError: vectors are not finite numbers, or of another width than the index's.
        FolderError: the index cannot be written.
    """
    replaced = 0
    for part in blocks:
        replaced += index.add(part, *encode_block(part, encode, advance), source=source)
    return replaced


def encode_block(
    documents: Sequence[Document], encode: Encode, advance: Callable[[int], None] | None = None
) -> DocumentVectors:
    """Return the documents of a block, encoded.

    Args:
        documents: the block.
        encode: texts to vectors.
        advance: called with the number of documents encoded, for progress.
    """
    return next(encoded_blocks([list(documents)], partial(map, encode), advance))[1]


def encoded_blocks(
    blocks: Iterable[list[Document]], encode: EncodeParts, advance: Callable[[int], None] | None = None
) -> Iterator[tuple[list[Document], DocumentVectors]]:
    """Yield blocks of documents with their vectors.

    Args:
        blocks: the blocks, none of them empty.
        encode: parts of the blocks to vectors. While it reads ahead, parts of the next blocks are at work.
        advance: called with the number of documents encoded, for progress.
    """
    waiting: deque[_Block] = deque()

    def parts() -> Iterator[list[str]]:
        for documents in blocks:
            block = _Block(documents)
            waiting.append(block)
            for part in list(block.parts):  # they are taken away as they come back
                yield [documents[place].content for place in part]

    for encoded in encode(parts()):
        block = waiting[0]
        count = block.take(encoded)
        if advance is not None:
            advance(count)
        if not block.parts:
            yield waiting.popleft().encoded()


class _Block:
    """A block of documents whose parts are being encoded.

    Attributes:
        parts: the places of the documents of each part that is not yet there.
    """

    def __init__(self, documents: list[Document]) -> None:
        self._documents = documents
        # The longest first: the time left is then never promised too short, and a batch holds texts of similar length.
        self._order = sorted(range(len(documents)), key=lambda place: -len(documents[place].content))
        self._found: list[Vectors | None] = [None] * len(documents)
        self._lengths = [0] * len(documents)
        self._pooled: dict[int, NDArray[np.int64]] = {}
        self.parts = deque(self._order[begin : begin + _PART] for begin in range(0, len(documents), _PART))

    def take(self, encoded: DocumentVectors) -> int:
        """Take the vectors of the next part. Return the number of its documents."""
        vectors, counts, groups = encoded
        part = self.parts.popleft()
        # [tokens of the part, dim] -> one [tokens, dim] for each document.
        for place, rows in zip(part, np.split(vectors, np.cumsum(counts)[:-1]), strict=True):
            self._found[place], self._lengths[place] = rows, len(rows)
        if groups is not None:
            self._pooled |= dict(zip(part, groups, strict=True))
        return len(part)

    def encoded(self) -> tuple[list[Document], DocumentVectors]:
        """Return the documents with their vectors, once all parts are there."""
        groups = [self._pooled[place] for place in range(len(self._documents))] if self._pooled else None
        packed = _packed(self._found, self._order, self._lengths)
        return self._documents, DocumentVectors(packed, self._lengths, groups)


def _packed(found: list[Vectors | None], order: Sequence[int], lengths: Sequence[int]) -> Vectors:
    """The vectors of documents, side by side. Each part of ``found`` is let go of once it is copied, so that memory
    holds them once."""
    ends = np.cumsum(lengths)
    packed: Vectors | None = None
    for place in order:
        rows, found[place] = found[place], None
        assert rows is not None
        if packed is None:
            packed = np.empty((int(ends[-1]), rows.shape[1]), dtype=np.float32)
        packed[ends[place] - lengths[place] : ends[place]] = rows
    return np.zeros((0, 0), dtype=np.float32) if packed is None else packed


def document_vectors(
    model: MultiVectorEncoder, texts: Sequence[str], pool: float, precision: str = "fp32"
) -> DocumentVectors:
    """Return documents encoded, and pooled.

    Args:
        model: a late-interaction model.
        texts: the documents' texts.
        pool: how many tokens of a document become one vector; 1 keeps all
            (hierarchical token pooling: Clavié, Chaffin and Adams, 2024).
        precision: of the products: ``fp32`` or ``bf16``.
    """
    vectors, lengths = _encoded(model, texts, precision)
    if pool == 1 or not lengths:
        return DocumentVectors(vectors, lengths)
    parts = [_pooled(rows, pool) for rows in np.split(vectors, np.cumsum(lengths)[:-1])]
    means, groups = zip(*parts, strict=True)
    return DocumentVectors(np.concatenate(means), [len(rows) for rows in means], groups)


def _encoded(model: MultiVectorEncoder, texts: Sequence[str], precision: str) -> tuple[Vectors, list[int]]:
    if precision == "fp32":
        return encode_documents(model, texts)
    from tardif.encoder.precision import computing

    with computing(precision, model.device.type):
        vectors, lengths = encode_documents(model, texts)
    # A projection's vectors are normalised in bfloat16, to lengths within a few thousandths of 1.
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)  # [tokens, dim] -> [tokens, 1]
    norms[np.abs(norms - 1) >= _ROUNDED] = 1
    vectors /= norms
    return vectors, lengths


def _pooled(vectors: Vectors, pool: float) -> tuple[Vectors, NDArray[np.int64]]:
    """Pool one document's vectors ``[tokens, dim]``. Returns unit vectors ``[rows, dim]``, and the row that each token
    is part of ``[tokens]``."""
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling
    from torch.nn.functional import normalize

    # A row is the mean of its tokens, and the library does not say of which. The gradients do: that of the sum of all
    # rows is 1 / n for a token in a row of n, and that of the rows times their numbers is number / n.
    with torch.inference_mode(False), torch.enable_grad():
        tokens = torch.from_numpy(vectors).clone().requires_grad_()
        rows = HierarchicalTokenPooling(pool_factor=pool, normalize_embeddings=False).pool_one(tokens)
        numbers = torch.arange(1, len(rows) + 1, dtype=torch.float32)
        (shares,) = torch.autograd.grad(rows[:, 0].sum(), tokens, retain_graph=True)
        (numbered,) = torch.autograd.grad((rows[:, 0] * numbers).sum(), tokens)
    labels = (numbered[:, 0] / shares[:, 0]).round().long() - 1
    return normalize(rows.detach(), dim=-1).numpy(), labels.numpy()


def check_pool(pool: float) -> float:
    """Return ``pool`` as a float if documents can be pooled by it.

    >>> check_pool(2)
    2.0

    Raises:
        SettingError: it is not a finite number of at least 1.
    """
    if not is_number(pool) or not 1 <= pool < float("inf"):
        raise SettingError(f"pool={pool!r}: give the number of tokens that become one vector, 1 or more.")
    return float(pool)

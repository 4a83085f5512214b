"""Build an index in shards: the corpus is read once and spooled by shard, and each shard is built from its spool.

What all shards share is made first, once: a random sample of the corpus is encoded, centroids are learned from it, and
the plan is written. Then the shards are built, here one after the other or elsewhere at once, and the whole is
published. An interrupted build leaves a hidden folder beside the output; the same call continues there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from tardif.errors import FolderError
from tardif.folders import holding, real_place, remove, share, writable, write_json
from tardif.index.codebooks import centroid_count, read_codebook, write_codebook
from tardif.index.codes import scale_of, to_fixed, train
from tardif.index.compaction import PLAIN_TOKENS
from tardif.index.manifest import SHARDS
from tardif.index.shard_spool import ShardSpools, write_first
from tardif.index.sharded import parts_by_shard
from tardif.index.sharded_folder import CHANGE, ShardedFolder, new_shards
from tardif.index.spool import SpooledCorpus
from tardif.locks import lock_file
from tardif.search.build import (
    BLOCK,
    BuildOptions,
    DocumentVectors,
    EncodeParts,
    check_corpus,
    corpus_for,
    encoding,
    finish,
    sample_size,
    spool_beside,
    work_beside,
)
from tardif.search.corpus_reader import CorpusReader
from tardif.search.indexed_model import IndexedModel
from tardif.search.query_encoder import ENCODER, bind_encoder, export_encoder
from tardif.search.shard_build import CODEBOOKS, PLAN, SPOOL, ShardJob, ShardPlan, build_shard, encoded_together
from tardif.search.source_notes import note_source
from tardif.search.sync import source_of
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Builds all shards: takes their jobs, an encoder for those that are built in this process, and what counts the
# documents done.
BuildAll = Callable[[Sequence[ShardJob], EncodeParts, Callable[[int], None]], None]


def one_by_one(jobs: Sequence[ShardJob], encode: EncodeParts, advance: Callable[[int], None]) -> None:
    """Build shards in this process, one after the other."""
    for job in jobs:
        build_shard(job, encode, advance)


def build_sharded(
    model: str | Path,
    reader: CorpusReader,
    out: Path,
    options: BuildOptions,
    shards: int,
    build_all: BuildAll = one_by_one,
) -> MultiVectorEncoder:
    """Read, encode and index a corpus in shards. Interrupted, the same call continues.

    Args:
        model, reader, out, options: as for :func:`tardif.search.build.build_index`, as are errors and result.
        shards: how many.
        build_all: builds the shards.
    """
    with corpus_for(model, reader, options, spool_beside(out)) as (base, corpus, encoder, decided):
        check_corpus(corpus)
        remembered = IndexedModel.remember(base.folder, out, decided.precision)
        about = {"bits": options.bits, "pool": options.pool, "words": options.words, "model": remembered}

        with (
            _under_way(out, options) as work,
            encoding(encoder, base.folder, decided, reader.console) as encode,
            reader.console.progress("Indexing", len(corpus), "documents") as bar,
        ):
            _prepare(work, corpus, new_shards(about, shards), source_of(reader.documents), encode)
            how = (base.folder, options.device, options.threads, options.trust_remote_code)
            build_all([ShardJob(work, number, *how) for number in range(shards)], encode, bar.advance)
            _complete(work, encoder, reader, options)
    return encoder


@contextmanager
def _under_way(out: Path, options: BuildOptions) -> Iterator[Path]:
    """Give the folder of a build, which becomes ``out`` when the block ends without an error."""
    place = real_place(out)
    work = work_beside(place)
    with holding(out, overwrite=options.overwrite, what=f"{out} is being built"), writable(out):
        try:
            yield work
            finish(work, place)
        finally:
            # Texts are read again by the next call; without a plan there is nothing to continue from.
            if not (work / PLAN).is_file():
                remove(work)


def _prepare(
    work: Path, corpus: SpooledCorpus, manifest: dict[str, Any], source: str, encode: EncodeParts
) -> ShardPlan:
    """Write what the shards are built from. What an interrupted build left is used again if it is of the same sample of
    a corpus of the same size, the same model and the same options."""
    sample = next(corpus.sample_first(sample_size(corpus), BLOCK))
    digest, known = _digest(sample), _known(work, manifest)
    if known is None or (known.sample, known.corpus, known.source) != (digest, len(corpus), source):
        remove(work)
        known = None
    (work / SPOOL).mkdir(parents=True, exist_ok=True)
    names = manifest["shards"]
    spools = ShardSpools([work / SPOOL / f"{name}.jsonl" for name in names])
    spools.put(sample)
    first = tuple(spools.rows)
    drawn = {document.whole_id for document in sample}
    for block in corpus.blocks(BLOCK):
        spools.put(document for document in block if document.whole_id not in drawn)
    checksums = tuple(spools.close())
    if known is None:
        tokens, codebook = _learn(work, sample, len(corpus), manifest, encode)
        known = ShardPlan(manifest, source, digest, len(corpus), tokens, codebook, first, (), ())
    plan = replace(known, rows=tuple(spools.rows), spools=checksums)
    plan.write(work)
    return plan


def _digest(sample: Sequence[Document]) -> str:
    found = xxhash.xxh3_128()
    for document in sample:
        found.update(repr((document.id, document.whole_id, document.content)).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _known(work: Path, manifest: Mapping[str, Any]) -> ShardPlan | None:
    """The plan of an interrupted build of the same model and options."""
    try:
        plan = ShardPlan.read(work)
        if plan.codebook is not None:
            read_codebook(work / CODEBOOKS, plan.manifest["identity"], plan.codebook)
    except FolderError:
        return None
    own = ("identity", "checksum")
    is_same = {k: v for k, v in plan.manifest.items() if k not in own} == {
        k: v for k, v in manifest.items() if k not in own
    }
    return plan if is_same else None


def _learn(
    work: Path, sample: list[Document], count: int, manifest: Mapping[str, Any], encode: EncodeParts
) -> tuple[int, str | None]:
    """Encode the sample, keep its vectors for the shards, and learn the codebook from them. Returns how many token
    vectors are expected of ``count`` documents and pieces, and the codebook's name."""
    found = encoded_together(sample, encode)
    for name, part in zip(manifest["shards"], _by_shard(sample, found, len(manifest["shards"])), strict=True):
        write_first(work / SPOOL / f"{name}.first.npz", *part)
    tokens = len(found.vectors) // len(sample) * count
    if tokens < PLAIN_TOKENS or not len(found.vectors):
        return tokens, None
    fixed = to_fixed(found.vectors, scale_of(found.vectors))
    book = train(fixed, centroid_count(max(len(fixed), tokens)))
    (work / CODEBOOKS).mkdir(exist_ok=True)
    return tokens, write_codebook(work / CODEBOOKS, book, manifest["identity"])


def _by_shard(documents: Sequence[Document], found: DocumentVectors, shards: int) -> Iterator[DocumentVectors]:
    """The vectors of each shard's documents, in the order of the documents."""
    parts = parts_by_shard(documents, *found, shards)
    empty = DocumentVectors(found.vectors[:0], [], None if found.groups is None else [])
    for place in range(shards):
        yield DocumentVectors(*parts[place][1:]) if place in parts else empty


def _complete(work: Path, encoder: MultiVectorEncoder, reader: CorpusReader, options: BuildOptions) -> None:
    """Make the folder of a build, with all shards in it, an index."""
    plan = ShardPlan.read(work)
    # An encoder that a killed process left is whole: it is exported aside.
    export_encoder(encoder, work / ENCODER, reader.console)
    write_json(work / SHARDS, dict(plan.manifest))
    with ShardedFolder(work, threads=1) as index:
        bind_encoder(index)
        note_source(index, reader, source_of(reader.documents), options.chunk, home=True)
    for name in (SPOOL, CODEBOOKS, PLAN, CHANGE, lock_file(work / SHARDS).name):
        remove(work / name)
    for name in plan.manifest["shards"]:
        remove(lock_file(work / name))
    share(work)

"""Build one shard of an index from its spool. The same files give the same shard, in any process, on any machine.

A plan in the folder of the build says what all shards share. A shard is written aside and renamed when it is whole; one
that is whole is not built again, and one that was interrupted is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tardif.errors import FolderError
from tardif.folders import read_json, remove, sync, writable, write_json
from tardif.index.codebooks import read_codebook
from tardif.index.disk import DiskIndex
from tardif.index.manifest import shard_identity
from tardif.index.pieces import differing
from tardif.index.shard_spool import read_first, spooled
from tardif.locks import hold
from tardif.search.build import BLOCK, DocumentVectors, EncodeParts, encoded_blocks, opened_encode, work_beside
from tardif.search.indexed_model import precision_of
from tardif.types import Document

PLAN, SPOOL, CODEBOOKS = "plan.json", "spool", "codebooks"
# A shard's notes: the checksum of the spool that it was built from.
_SPOOL = "spool"


@dataclass(frozen=True)
class ShardJob:
    """One shard to build. It can be pickled.

    Attributes:
        work: the folder of the build, absolute; every machine that builds a shard reads and writes there.
        number: of the shard.
        model: the model's folder.
        device: torch's name of the device to encode on.
        threads: for comparing vectors with centroids; None for all processors.
        trust_remote_code: let the model run its own code.
    """

    work: Path
    number: int
    model: Path
    device: str = "cpu"
    threads: int | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class ShardPlan:
    """What all shards of a build share, as the file ``plan.json`` holds it.

    Attributes:
        manifest: of the whole index (:func:`tardif.index.sharded_folder.new_shards`).
        source: the file or folder that the documents came from.
        sample: a checksum of the documents that centroids were learned from.
        corpus: the number of documents and pieces of the whole.
        tokens: token vectors that the whole is expected to have.
        codebook: the name of the codebook in the folder ``codebooks``; None where vectors are too few for one.
        first: how many documents and pieces at the beginning of each shard's spool are encoded already.
        rows: of each shard's spool.
        spools: checksums of the shards' spools.
    """

    manifest: Mapping[str, Any]
    source: str
    sample: str
    corpus: int
    tokens: int
    codebook: str | None
    first: tuple[int, ...]
    rows: tuple[int, ...]
    spools: tuple[str, ...]

    def write(self, work: Path) -> None:
        """Write the plan into the folder of the build."""
        write_json(work / PLAN, vars(self) | {"manifest": dict(self.manifest)})

    @classmethod
    def read(cls, work: Path) -> ShardPlan:
        """Read the plan of a build.

        Raises:
            FolderError: there is none, or it was written by another version.
        """
        found = read_json(work / PLAN, what="the folder of a build")
        try:
            lists = {name: tuple(found[name]) for name in ("first", "rows", "spools")}
            return cls(**{**found, **lists})
        except (TypeError, KeyError) as error:
            raise FolderError(f"{work / PLAN} was written by another version: build the index again.") from error


def build_shard(
    job: ShardJob, encode: EncodeParts | None = None, advance: Callable[[int], None] | None = None
) -> tuple[int, int]:
    """Build one shard, or continue it, or leave it if it is whole.

    Args:
        job: which.
        encode: parts of texts to vectors; by default with the job's model, which is opened if anything must be
            encoded.
        advance: called with the number of documents (or pieces) done, for progress.

    Returns:
        How many documents and pieces the shard holds, and how many of them were encoded now.

    Raises:
        FolderError: the plan or the spool cannot be read, the shard cannot be written, or another process builds it.
    """
    plan, tell = ShardPlan.read(job.work), advance or (lambda count: None)
    name = plan.manifest["shards"][job.number]
    place, rows = job.work / name, plan.rows[job.number]
    with hold(place, what=f"The shard {place} is being built"), writable(place):
        if is_whole(job.work, plan, job.number):
            tell(rows)
            return rows, 0
        remove(place)
        aside = work_beside(place)
        with _begun(aside, plan, job) as index:
            encoded = _fill(index, plan, job, encode or _encoder(job, plan), tell)
        aside.rename(place)
        sync(place.parent)
    return rows, encoded


def is_whole(work: Path, plan: ShardPlan, number: int) -> bool:
    """Whether a shard of a build is there, whole, and of the documents that it should hold."""
    return _is_of(work / plan.manifest["shards"][number], plan, number)


def _is_of(folder: Path, plan: ShardPlan, number: int) -> bool:
    try:
        with DiskIndex(folder, threads=1) as found:
            is_same = found.identity == shard_identity(plan.manifest["identity"], number)
            return is_same and found.note(_SPOOL) == plan.spools[number]
    except FolderError:
        return False


def _begun(aside: Path, plan: ShardPlan, job: ShardJob) -> DiskIndex:
    """The shard as an interrupted build left it, or an empty one."""
    if _is_of(aside, plan, job.number):
        return DiskIndex(aside, threads=job.threads)
    remove(aside)
    about = {name: plan.manifest[name] for name in ("bits", "pool", "words", "model")}
    shard = (plan.manifest["identity"], job.number)
    index = DiskIndex.create(aside, **about, threads=job.threads, shard=shard)
    if plan.codebook is not None:
        index.use_codebook(read_codebook(job.work / CODEBOOKS, plan.manifest["identity"], plan.codebook))
    index.expect(plan.tokens)
    index.note(_SPOOL, plan.spools[job.number])
    return index


def _fill(index: DiskIndex, plan: ShardPlan, job: ShardJob, encode: EncodeParts, tell: Callable[[int], None]) -> int:
    """Make a shard hold its documents. Returns how many had to be encoded."""
    encoded = 0
    for block, known in _blocks(plan, job):
        missing = differing(index, block)
        tell(len(block) - (len(missing) if known is None else 0))
        if not missing:
            continue
        if known is None:
            encoded += len(missing)
            index.add(missing, *encoded_together(missing, encode, tell), source=plan.source)
        else:
            index.add(block, *known, source=plan.source)
        # Merged now and not beside the next block: the same shard results on a slow machine and on a fast one.
        index.wait()
    return encoded


def encoded_together(
    documents: list[Document], encode: EncodeParts, advance: Callable[[int], None] | None = None
) -> DocumentVectors:
    """Return the vectors of some documents, at least one; arguments as for
    :func:`tardif.search.build.encoded_blocks`."""
    ((_, found),) = encoded_blocks([documents], encode, advance)
    return found


def _blocks(plan: ShardPlan, job: ShardJob) -> Iterator[tuple[list[Document], DocumentVectors | None]]:
    """The documents of a shard in blocks: first those with vectors, then those without."""
    spool = job.work / SPOOL / f"{plan.manifest['shards'][job.number]}.jsonl"
    first, waiting = plan.first[job.number], list[Document]()
    vectors = DocumentVectors(*read_first(spool.with_suffix(".first.npz"))) if first else None
    for block in spooled(spool, plan.spools[job.number], BLOCK):
        waiting += block
        if first and len(waiting) >= first:
            yield waiting[:first], vectors
            waiting, first, vectors = waiting[first:], 0, None
        if not first and len(waiting) >= BLOCK:
            yield waiting, None
            waiting = []
    if waiting:
        yield waiting, None


def _encoder(job: ShardJob, plan: ShardPlan) -> EncodeParts:
    pool, precision = float(plan.manifest["pool"]), precision_of(plan.manifest["model"])
    # Opened with the first part: a shard may need none encoded.
    opened = cache(partial(opened_encode, pool, precision, job.device, job.trust_remote_code, job.model))

    def encode_part(texts: Sequence[str]) -> DocumentVectors:
        return opened()(texts)

    return partial(map, encode_part)

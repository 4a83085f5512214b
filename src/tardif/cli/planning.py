"""The report of ``tardif doctor --plan``: what an index of so many documents needs, from this machine's own speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tardif.errors import SettingError
from tardif.progress import Console

if TYPE_CHECKING:
    from tardif.search.speed import MachineSpeed

# docs/scale.md says how each is made.
_ENGINES = {
    "index": "one index",
    "shards": "an index in shards on one machine",
    "ray": "an index in shards, on the machines of a Ray cluster",
    "qdrant": "Qdrant",
}


@dataclass(frozen=True)
class PlanRequest:
    """What is asked for.

    Attributes:
        documents: their number, as :func:`tardif.search.index_plan.parse_count` reads it.
        tokens: of a document.
        bits, pool: of the index.
        base: the model, or a base.
        device: to encode on.
        trust_remote_code: let the model run its own code.
    """

    documents: str
    tokens: int
    bits: int
    pool: float
    base: str
    device: str = "auto"
    trust_remote_code: bool = False


def plan(asked: PlanRequest, console: Console) -> dict[str, Any]:
    """Measure this machine and plan the index. The result fits into JSON; its keys are always the same.

    Raises:
        SettingError: a number cannot be used.
        ModelError: the model cannot be loaded.
        FolderError: the temporary folder cannot be written.
    """
    from tardif.extras import need
    from tardif.index.size import CorpusShape
    from tardif.search.index_plan import parse_count, plan_index

    documents = parse_count(asked.documents)
    CorpusShape(documents, asked.tokens, 128, asked.bits, asked.pool)  # refused before anything is measured
    need("train", "Measuring how fast this machine encodes")
    found, device, name = _measured(asked, console)
    text_bytes = found.text_bytes_per_token * asked.tokens
    corpus = CorpusShape(documents, asked.tokens, found.dim, asked.bits, asked.pool, text_bytes)
    return {
        "asked": {
            **{"documents": documents, "tokens": asked.tokens, "bits": asked.bits, "pool": asked.pool},
            **{"model": name, "dim": found.dim, "device": device},
        },
        "measured": found.as_json(),
        "extrapolated": plan_index(corpus, found.speed).as_json(),
        "precision": _precision(found, asked),
    }


def _measured(asked: PlanRequest, console: Console) -> tuple[MachineSpeed, str, str]:
    """Measure; return also the device and the model's name."""
    from tardif.devices import allocate
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe
    from tardif.evaluation.python_texts import python_texts
    from tardif.search.speed import measure_speed

    device = allocate(asked.device).kind
    base = resolve_base(asked.base, trust_remote_code=asked.trust_remote_code)
    model = build_model(base, Recipe(), device=device, trust_remote_code=asked.trust_remote_code).eval()
    corpus = python_texts()
    if corpus is None:
        raise SettingError("This Python's library has no docstrings, so there are no texts to measure with.")
    console.say("Measuring for some seconds: encoding, building a small index, scanning it.")
    texts = [document.text for document in corpus.documents]
    return measure_speed(model, texts, asked.tokens, asked.bits), device, base.name


def _precision(found: MachineSpeed, asked: PlanRequest) -> list[str]:
    """What is exact, measured and extrapolated, and how far each may be off."""
    spread = {name: f"{getattr(found, name).spread:.0%}" for name in ("encoding", "building", "scanning")}
    lines = [
        "Bytes of vectors are exact for these tokens. Texts and postings are those of usual documents: the whole is "
        "right within a few per cent.",
        f"Encoding was measured on texts of {found.tokens:.0f} tokens (turns differ by up to {spread['encoding']}), "
        "and is extrapolated in proportion, to one machine like this one.",
        f"Building was measured on 120,000 made-up vectors ({spread['building']}), and is extrapolated with the number "
        "of centroids, to all cores at work.",
        f"Exact search was measured on the same ({spread['scanning']}), and grows in proportion. Pruned search depends "
        "on the texts: its range comes from the searches of up to 43,001 documents in benchmarks/RESULTS.md.",
        "Nodes are machines like this one, by memory alone. The network between them is not counted.",
    ]
    if found.reach < asked.tokens:
        lines.append(f"The model reads {found.reach} tokens of a document: plan with its pieces, of as many tokens.")
    return lines


def report(found: dict[str, Any]) -> list[str]:
    """Write the plan as lines for a person."""
    asked, measured, plan = found["asked"], found["measured"], found["extrapolated"]
    pooled = "" if asked["pool"] == 1 else f", pooled by {asked['pool']:g}"
    return [
        f"{asked['documents']:,} documents of {asked['tokens']} tokens{pooled}, {asked['model']} ({asked['dim']} "
        f"dimensions), {asked['bits']} bits",
        "Measured here:",
        *_rows(_measured_rows(measured, asked["device"])),
        "Extrapolated:",
        *_rows(_planned_rows(plan)),
        f"Engine: {_ENGINES[plan['engine']]}, because {plan['why']}.",
        "How precise:",
        *(f"  {line}" for line in found["precision"]),
    ]


def _measured_rows(measured: dict[str, Any], device: str) -> dict[str, str]:
    encoding, machine = measured["encoding"], measured["machine"]
    building = measured["building"]["core_seconds_per_1000_documents"]
    scanning = measured["scanning"]["core_seconds_per_million_vectors"]
    return {
        "encoding": f"{encoding['documents_per_second']:,.1f} documents/s on {device} "
        f"({encoding['core_seconds_per_1000_documents']:,.1f} core-seconds per 1,000)",
        "building": f"{building:.2f} core-seconds per 1,000 documents of 120 vectors",
        "exact search": f"{scanning:.3f} core-seconds per million vectors",
        "this machine": f"{machine['cores']} cores, {_bytes(machine['memory'])} of memory",
    }


def _planned_rows(plan: dict[str, Any]) -> dict[str, str]:
    size, (best, worst) = plan["bytes"], plan["pruned_seconds"]
    return {
        "index": f"{_bytes(size['total'])}: {plan['bytes_per_token']:.1f} bytes per token, and {_bytes(size['texts'])} "
        "of texts",
        "disk": f"{_bytes(plan['disk'])} while it is built",
        "memory": f"{_bytes(plan['memory'])}, so that searches read no disk",
        "encoding": f"{_hours(plan['encoding_hours'])} on one such machine",
        "building": f"{_hours(plan['building_hours'])} on one such machine",
        "a query": f"{_seconds(best)} to {_seconds(worst)} pruned, {_seconds(plan['exact_seconds'])} exact, on one "
        "core",
        "nodes": f"{plan['nodes']:,} like this one, {plan['shards']:,} shards: {_seconds(plan['answer_seconds'])} a "
        "query at most",
    }


def _rows(rows: dict[str, str]) -> list[str]:
    return [f"  {name:<13} {value}" for name, value in rows.items()]


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:,.1f} {unit}"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:,.0f} hours" if hours >= 10 else f"{hours:.1f} hours"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"

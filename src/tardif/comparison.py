"""Systems measured side by side on BEIR folders: models, indexes, BM25, dense models, run files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.checks import check_list
from tardif.data.beir import BeirSet, read_beir
from tardif.data.regular import is_folder, user_path
from tardif.data.text import keyed_sample
from tardif.errors import DataError, ModelError, SettingError
from tardif.evaluation import DEPTH, MEASURES, depth_of, parse_measures, per_query, rank, significance
from tardif.index.folder import is_index
from tardif.languages import language as find_language
from tardif.lexical import LexicalSearcher
from tardif.runs import read_run, write_run
from tardif.showing import Short
from tardif.talk import Talk
from tardif.types import Run

Ranker = Callable[[BeirSet], Run]


@dataclass(frozen=True)
class _How:
    """What all systems are run with: hits kept per query, the language of BM25, the device, where to show progress,
    and whether indexes are to score every document."""

    depth: int
    language: str
    device: str
    talk: Talk
    exact: bool


@dataclass(frozen=True, repr=False)
class Figures(Short):
    """One system on one data set.

    ``p`` is, per measure, the two-sided p-value of the difference to the system measured against.
    """

    name: str
    data: str
    measures: Mapping[str, float]
    values: Mapping[str, Mapping[str, float]] = field(repr=False, default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The figures as the command contract prints them."""
        found: dict[str, Any] = {"name": self.name, "data": self.data, "measures": dict(self.measures)}
        return {**found, "p": dict(self.p)} if self.p else found


def differences(figures: Sequence[Figures], against: str | None) -> list[str]:
    """A line for each system that was measured against another: by how much it differs, with the p-values."""
    other = {item.data: item.measures for item in figures if item.name == against}
    lines = []
    for item in figures:
        if item.p:
            by = {name: item.measures[name] - other[item.data][name] for name in item.p}
            said = ", ".join(f"{name} {by[name]:+.4f} (p {p:.4f})" for name, p in item.p.items())
            lines.append(f"{item.name} on {item.data}, against {against}: {said}")
    return lines


def compare(
    systems: Sequence[str],
    data: Sequence[str | Path],
    *,
    split: str = "test",
    measures: Sequence[str] = MEASURES,
    against: str | None = None,
    run_file: str | Path | None = None,
    language: str = "en",
    device: str = "cpu",
    exact: bool = False,
    talk: Talk | None = None,
) -> list[Figures]:
    """Measure systems on data sets; the one to compare with, last.

    Args:
        systems: each a checkpoint (folder or hub id), an index's folder, ``hybrid:INDEX`` (its search fused with
            BM25), ``bm25``, ``dense:MODEL``, or a TREC run file.
        data: BEIR folders.
        split: which judgements.
        measures: ir-measures' names.
        against: a base or checkpoint. It is measured as ``before`` is everywhere: the stronger of its
            raw token vectors and the untrained recipe around it (an existing ColBERT: itself).
        run_file: where to write the run, of one system on one data set.
        language: for BM25.
        device: torch's name of the device.
        exact: let indexes score every document. Else they are searched as always, expecting 0.99 of the exact hits,
            down to rank 100; deeper measures have every document scored.
        talk: where to show progress.

    Raises:
        SettingError: a measure is not known, or a run is asked of several systems.
        DataError: a data set or a run file cannot be read.
        ModelError: a system cannot be loaded.
    """
    talk = talk or Talk(quiet=True)
    systems, data = check_list(systems, "systems", SettingError), check_list(data, "data", SettingError)
    measures = check_list(measures, "measures", SettingError)
    parse_measures(measures)
    if not systems and against is None:
        raise SettingError(
            "Give a system to evaluate: a model, an index, hybrid:INDEX, bm25, dense:MODEL or a run file."
        )
    if run_file is not None and (len(systems) != 1 or len(data) != 1):
        raise SettingError("A run is written for one system on one data set.")
    sets = [read_beir(folder, split) for folder in data]
    depth = max((depth_of(measures, beir.qrels, len(beir.documents)) for beir in sets), default=DEPTH)
    how = _How(depth, language, device, talk, exact)
    rankers = [(name, _ranker(name, how)) for name in systems]
    found: list[Figures] = []
    for name, ranker in rankers:
        for beir in sets:
            run = ranker(beir)
            _say_unanswered(name, beir, run, talk)
            if run_file is not None:
                write_run(Path(run_file), run)
            found.append(_figures(name, beir, run, measures))
    if against is not None:
        others = [_untrained(against, beir, measures, how) for beir in sets]
        found = [_with_p(figures, next(o for o in others if o.data == figures.data)) for figures in found]
        found += others
    return found


def _say_unanswered(name: str, beir: BeirSet, run: Run, talk: Talk) -> None:
    count = sum(not run.get(query) for query in beir.queries)
    if count:
        talk.say(f"{name} on {beir.name}: {count} of {len(beir.queries)} queries found nothing, and count 0.")


def _figures(name: str, beir: BeirSet, run: Run, measures: Sequence[str]) -> Figures:
    values = per_query(beir.qrels, run, measures)
    means = {measure: sum(by_query.values()) / max(len(by_query), 1) for measure, by_query in values.items()}
    return Figures(name, beir.name, means, values)


def _with_p(figures: Figures, other: Figures) -> Figures:
    p = {measure: significance(figures.values[measure], other.values[measure]) for measure in figures.values}
    return Figures(figures.name, figures.data, figures.measures, figures.values, p)


def _ranker(name: str, how: _How) -> Ranker:
    """What ranks a data set's corpus for its queries, by a system's name. Checked now, loaded when it runs."""
    if name == "bm25":
        found_language = find_language(how.language)

        def by_words(beir: BeirSet) -> Run:
            hits = LexicalSearcher(beir.documents, found_language).search(list(beir.queries.values()), how.depth)
            return {query: dict(found) for query, found in zip(beir.queries, hits, strict=True)}

        return by_words
    if name.startswith("dense:"):
        return _dense_ranker(name.removeprefix("dense:"), how)
    if name.startswith("hybrid:"):
        folder = user_path(name.removeprefix("hybrid:"))
        if not is_index(folder):
            raise SettingError(f"{name}: {folder} is no index: give the folder that tardif index --hybrid wrote.")
        return _index_ranker(name, folder, how, hybrid=True)
    path = user_path(name)
    if not is_folder(path) and path.exists():
        run = read_run(path)
        return lambda beir: run
    if is_index(path):
        return _index_ranker(name, path, how, hybrid=False)
    return _model_ranker(name, how)


def _index_ranker(name: str, folder: Path, how: _How, *, hybrid: bool) -> Ranker:
    from tardif.index.protocol import RECALL
    from tardif.retrieval import Retriever

    retriever = Retriever(folder, device=None if how.device == "cpu" else how.device)
    exact = how.exact or how.depth > DEPTH

    def by_index(beir: BeirSet) -> Run:
        if exact:
            why = "--exact" if how.exact else f"{how.depth} hits a query are measured"
            how.talk.say(f"{name}: every document is scored ({why}).")
        elif retriever.index.prunes:
            how.talk.say(
                f"{name}: searched at the default recall, {RECALL:g} of the exact hits; --exact scores every document."
            )
        with how.talk.progress(f"{name} on {beir.name}", len(beir.queries), "queries") as bar:
            return retriever.run(beir.queries, how.depth, exact=exact, hybrid=hybrid, group=True, advance=bar.advance)

    return by_index


def _model_ranker(name: str, how: _How) -> Ranker:
    from tardif.modeling.base import resolve_base

    base = resolve_base(name)
    if not base.is_colbert:
        raise ModelError(
            f"{name} is not a late-interaction model: measure it with dense:{name}, or as a base with --against."
        )
    loaded: list[Any] = []

    def by_model(beir: BeirSet) -> Run:
        from tardif.modeling.build import open_model

        if not loaded:
            loaded.append(open_model(str(base.folder), device=how.device))
        _say_lost(name, loaded[0], beir, how.talk)
        with how.talk.progress(f"{Path(name).name} on {beir.name}", len(beir.documents), "documents") as bar:
            return rank(loaded[0], beir.queries, beir.documents, k=how.depth, advance=bar.advance)

    return by_model


def _say_lost(name: str, model: Any, beir: BeirSet, talk: Talk) -> None:
    """Say what a model does not read of the documents. They are judged whole, so they are not cut."""
    from tardif.modeling.reach import document_reach, overlong, told

    reach = document_reach(model)
    way_out = "Documents are judged whole, so they are not cut here; a search of pieces (--chunk) finds it."
    if line := told(overlong(model, beir.documents), reach, len(beir.documents), way_out):
        talk.say(f"{name} on {beir.name}: {line}")


def _dense_ranker(name: str, how: _How) -> Ranker:
    """One vector per text: cosine similarity of a dense sentence-transformers model."""
    from tardif.modeling.base import resolve_base

    base = resolve_base(name)

    def by_vector(beir: BeirSet) -> Run:
        import numpy as np

        from tardif.mining.dense import open_dense
        from tardif.scoring import top

        model = open_dense(base, how.device)
        _say_lost(name, model, beir, how.talk)
        queries = model.encode_query(list(beir.queries.values()), normalize_embeddings=True, show_progress_bar=False)
        ids = np.array([document.id for document in beir.documents], dtype=object)
        blocks = []
        with how.talk.progress(f"dense on {beir.name}", len(ids), "documents") as bar:
            for begin in range(0, len(ids), 512):
                texts = [document.content for document in beir.documents[begin : begin + 512]]
                blocks.append(model.encode_document(texts, normalize_embeddings=True, show_progress_bar=False))
                bar.advance(len(texts))
        scores = queries @ np.concatenate(blocks).T  # [queries, documents]
        return {query: dict(top(row, ids, how.depth)) for query, row in zip(beir.queries, scores, strict=True)}

    return by_vector


def _untrained(name: str, beir: BeirSet, measures: Sequence[str], how: _How) -> Figures:
    """The stronger of the two untrained systems around a base, by the first measure asked for."""
    from tardif.modeling.base import resolve_base
    from tardif.modeling.build import build_model, fit_projection, raw_view
    from tardif.modeling.recipe import Recipe

    base = resolve_base(name)
    model = build_model(base, Recipe(), device=how.device)
    if not base.is_colbert:
        fit_projection(model, keyed_sample(0, (document.content for document in beir.documents), 256))
    _say_lost(name, model, beir, how.talk)
    found = []
    for label, system in (("raw", raw_view(model)), ("step 0", model)):
        with how.talk.progress(f"{label} on {beir.name}", len(beir.documents), "documents") as bar:
            run = rank(system, beir.queries, beir.documents, k=how.depth, advance=bar.advance)
        found.append(_figures(name, beir, run, measures))
    first = next(iter(found[0].measures))
    return max(found, key=lambda figures: figures.measures[first])


def results(found: Sequence[Figures], *, against: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``evaluate --out`` leaves: means over the data sets, and every figure.

    Raises:
        DataError: there is no figure.
    """
    if not found:
        raise DataError("Nothing was measured.")
    names = list(dict.fromkeys(figures.name for figures in found))
    own = [name for name in names if name != against]
    means = {
        name: {
            measure: sum(f.measures[measure] for f in found if f.name == name) / sum(f.name == name for f in found)
            for measure in found[0].measures
        }
        for name in names
    }
    models = [name for name in own if name != "bm25" and not name.startswith("dense:")]
    after = models[0] if models else own[0] if own else None
    return {
        "before": means.get(against or "", {}),
        "after": means.get(after or "", {}),
        "baselines": {name: means[name] for name in own if name != after},
        "settings": dict(settings),
        "systems": [figures.as_json() for figures in found],
    }

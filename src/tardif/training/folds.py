"""Cross-validation: every query is judged by a model that was not trained on it; the published one is trained on all.

A small set cannot spare queries to hold out, and a few held-out ones show nothing. So the training is repeated, each
time without another part of the queries. Their values together are the verdict on the published training. It costs one
training more for each fold.

.NAME.folds/
  folds.json      a fingerprint of what the folds were started with
  fold-1.json     each query's values in a finished fold
  evidence-1/     what the report shows of it
  .fold-2.training/   the run of an unfinished fold
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tardif._version import __version__
from tardif.checksums import json_checksum
from tardif.data.split import fold_sets
from tardif.data.training_set import VALIDATION
from tardif.encoder.identity import fingerprint
from tardif.errors import FolderError, SettingError
from tardif.evaluation.evidence import read_evidence, write_evidence
from tardif.folders import read_json, real_place, remove, write_json
from tardif.training.decision import read_values
from tardif.training.fingerprint import data_digest, deciding
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.settings import TrainingSettings
from tardif.training.whole import START_AGAIN

Train = Callable[[RunConfig, TrainingSettings, bool], TrainingResult]


def train_in_folds(config: RunConfig, settings: TrainingSettings, train: Train, *, resume: bool) -> TrainingResult:
    """Train once for each fold, then on everything, with the folds' verdict.

    Args:
        config, settings: of the training that is published; ``minutes`` are those of all trainings together.
        train: trains one config, and resumes its unfinished run if asked to.
        resume: continue an unfinished cross-validation.

    Raises:
        SettingError: the set cannot be divided into that many, or the folds were started with something else.
        FolderError: there are unfinished folds, and neither ``resume`` nor ``overwrite`` is set.
        KeyboardInterrupt: a fold was interrupted.
    """
    count, sets = settings.folds, fold_sets(config.data, settings.folds, settings.seed)
    # `count + 1` trainings share the minutes: one for each fold, and the published one.
    minutes = None if settings.minutes is None else settings.minutes / (count + 1)
    cost = "" if minutes is None else f"; each has {minutes:.2g} of the {settings.minutes:g} minutes"
    config.console.say(f"Cross-validation: {count} folds and the published model are {count + 1} trainings{cost}.")
    place = folds_folder(config.path)
    _begin(place, config, settings, resume=resume)
    values: dict[str, dict[str, dict[str, float]]] = {}
    for number, data in enumerate(sets, start=1):
        fold = replace(config, data=data, path=place / f"fold-{number}", overwrite=True, prints_summary=False)
        record = place / f"fold-{number}.json"
        if not record.is_file():
            config.console.say(f"Fold {number} of {count}: {len(data.query_ids(VALIDATION))} queries are held out.")
            # The last checkpoint, as in the published training: none is chosen on the queries that judge it.
            once = replace(settings, folds=1, minutes=minutes, evaluations=1, patience=None, keep_untrained=False)
            # Of a fold's model nothing is kept, so what it lost elsewhere is not measured.
            once = replace(once, guard=None)
            if train(fold, once, resume).interrupted:
                config.console.say(
                    f"Fold {number} of {count} was interrupted; --resume (in Python resume=True) continues."
                )
                raise KeyboardInterrupt
            # A fold is done from its record on: a kill after that costs disk space, not a training.
            if (evidence := read_evidence(fold.path)) is not None:
                write_evidence(place / f"evidence-{number}", evidence)
            write_json(record, read_values(fold.path))
            remove(fold.path)
        for system, measures in read_json(record, what="a fold").items():
            for name, by_query in measures.items():
                values.setdefault(system, {}).setdefault(name, {}).update(by_query)
    # The folds' values are the verdict on this training, which holds no query out.
    config.console.say(f"All {count} folds are done; the published model is trained on all queries.")
    published = replace(config, crossed=values, crossed_in=str(place))
    result = train(published, replace(settings, minutes=minutes), resume)
    if not result.interrupted:
        remove(place)
    return result


def folds_folder(output: Path) -> Path:
    """Return the folder of an unfinished cross-validation's folds."""
    place = real_place(output)
    return place.with_name(f".{place.name}.folds")


def _begin(place: Path, config: RunConfig, settings: TrainingSettings, *, resume: bool) -> None:
    """Make the folder for these folds, or keep it with the folds that are done."""
    key = {"key": _key(config, settings)}
    if place.exists():
        if not resume and not config.overwrite:
            raise FolderError(
                f"There are unfinished folds of {config.path.name} in {place}: continue them (--resume, in Python "
                "resume=True), or start again (--overwrite, in Python overwrite=True)."
            )
        if resume and (place / "folds.json").is_file():
            if read_json(place / "folds.json", what="unfinished folds") == key:
                return
            if not config.overwrite:
                raise SettingError(
                    f"The unfinished folds in {place} were started with other data, base or settings: give the same, "
                    f"or {START_AGAIN}."
                )
        remove(place)
    place.mkdir(parents=True)
    write_json(place / "folds.json", key)


def _key(config: RunConfig, settings: TrainingSettings) -> str:
    """A fingerprint of what the values of a fold depend on."""
    given: Mapping[str, Any] = {
        "tardif": __version__,
        "settings": deciding(settings),
        "recipe": asdict(config.recipe),
        "base": fingerprint(config.base.folder),
        "data": data_digest(config.data),
        "language": config.language.code,
    }
    return json_checksum(given)

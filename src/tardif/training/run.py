"""One training run from a checked Trainer: model, plan, figures before, training, publication."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif._version import __version__
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.encoder.recipe import DOCUMENT_CAP
from tardif.errors import FolderError, TardifError
from tardif.evaluation.verdict import Values, means
from tardif.folders import staged, write_json
from tardif.text.normal import keyed_sample
from tardif.training.batches import order_of
from tardif.training.distributed import World
from tardif.training.job import Job
from tardif.training.judging import BM25, RAW, STEP_0, TRAINED, judge, stronger, summary, write_values
from tardif.training.plan import CHARACTERS_PER_TOKEN, Plan, Size, Work, make_plan
from tardif.training.result import TrainingResult
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.batches import Collator
    from tardif.training.callbacks import Outcome
    from tardif.training.refresh import Refresher
    from tardif.training.validation import ValidationTask

# Texts that the projection is fitted on: some 50,000 tokens, far more than its rank.
_PROJECTION_DOCUMENTS, _PROJECTION_QUERIES = 256, 128
_NOT_HELD_OUT = "no query is held out"
# Cross-validation is recommended with so many folds, for as many queries at most: over more, a share tells enough.
_FOLDS, _MOST_FOR_FOLDS = 5, 500
# What may differ when a run is resumed: how often it saves and where it reports to change no weight.
_FREE_SETTINGS = frozenset({"save_steps", "save_minutes", "other"})
_FREE_ARGUMENTS = frozenset({"report_to", "run_name", "logging_steps", "logging_first_step", "logging_strategy"})


@dataclasses.dataclass
class Found:
    """What a run finds out before its first step; a resumed one reads it.

    ``untrained`` has each query's measures with BM25 and the two untrained systems; it is empty where none is held out.
    """

    plan: Plan
    untrained: dict[str, dict[str, dict[str, float]]]
    seconds: dict[str, float]


class Session:
    """A run of a job with checked settings, new or gone on with.

    Args:
        job: says base, recipe, data and output.
        settings: checked.
        device: torch's name of it.
        folder: the run's, held by the lead or by who started it.
        world: the processes that train together.
    """

    def __init__(
        self, job: Job, settings: TrainingSettings, device: str, folder: RunFolder, world: World | None = None
    ) -> None:
        self.job, self.settings, self.device, self.folder = job, settings, device, folder
        self.data, self.console = job.data, job.console
        self.world = world or World()
        # The lead's alone: what a resumed run must be given again, and what it is measured on.
        self.given: dict[str, Any] = {}
        self.task: ValidationTask | None = None

    def run(self) -> TrainingResult:
        """Train and publish; errors as :meth:`tardif.Trainer.train` says."""
        from tardif.encoder.model import build_model, set_dropout
        from tardif.training.averaging import keep_start, share_for
        from tardif.training.parameters import set_up
        from tardif.training.precision import resolve

        began = time.monotonic()
        made = self.data.is_mostly_made
        job = self.job = dataclasses.replace(self.job, recipe=self.job.recipe.decided(made))
        lead = self.world.from_lead
        precision = lead(lambda: resolve(self.settings, self.device, job.base.hidden_size))
        share = share_for(self.settings.base_share, made)
        settings = self.settings = dataclasses.replace(self.settings, precision=precision, base_share=share)
        model = build_model(
            job.base,
            job.recipe,
            device=self.device,
            seed=settings.seed,
            trust_remote_code=job.trust_remote_code,
        )
        record, checkpoint = lead(lambda: self._unfinished(model))
        if checkpoint is None:
            lead(lambda: self._fit_projection(model))
        if settings.dropout is not None:
            set_dropout(model, settings.dropout)
        set_up(model, settings)
        self.world.equalise(model)
        if checkpoint is None:
            lead(lambda: keep_start(model, self.folder.start))
        collator = self._collator(model)
        loading = time.monotonic() - began
        timed = None if record or settings.minutes is None else self._timed(model, collator)
        found = lead(lambda: self._find_out(model, record, timed, loading))
        return self._train(model, collator, found, checkpoint)

    def _unfinished(self, model: MultiVectorEncoder) -> tuple[dict[str, Any] | None, Path | None]:
        """What an unfinished run has found out, and the checkpoint to go on from."""
        self.given = self._given(model)
        record = self.folder.read_record(self.given, _versions(), self.console)
        self.folder.drop_newer()
        return record, self.folder.chosen if record else None

    def _find_out(
        self, model: MultiVectorEncoder, record: dict[str, Any] | None, timed: float | None, loading: float
    ) -> Found:
        """Plan and measure before the first step, or take what an unfinished run has recorded of it."""
        if record:
            found = Found(**{**record, "plan": Plan(**record["plan"])})
            self.task = self._task(found.plan)
            return found
        self._say_lost(model)
        plan = self._plan(model, timed)
        self.task = self._task(plan)
        found = Found(plan, *self._measure_before(model))
        found.seconds["loading"] = loading
        self.folder.write_record(self.given, dataclasses.asdict(found), _versions())
        return found

    def _say_lost(self, model: MultiVectorEncoder) -> None:
        """Say what the model will not read of the documents."""
        from tardif.encoder.truncation import document_reach, overlong, truncation_warning

        documents = self.data.documents
        reach = document_reach(model)
        way_out = (
            "Prepare them in pieces (--chunk 256, in Python chunk=256), or let it read more (--document-length, in "
            "Python document_length=)."
        )
        if line := truncation_warning(overlong(model, documents.values()), reach, len(documents), way_out):
            self.console.say(line)

    def _given(self, model: MultiVectorEncoder) -> dict[str, Any]:
        """All that the end of a run depends on, each under the name by which a person can set it."""
        return {
            **deciding(self.settings),
            **dataclasses.asdict(self.job.recipe),
            "base": _fingerprint(model),
            "data": data_digest(self.data),
            "language": self.job.language.code,
            "device": self.device,
            # Each has random numbers of its own, and sums come in another order.
            **({"processes": self.world.size} if self.world.size > 1 else {}),
        }

    def _fit_projection(self, model: MultiVectorEncoder) -> None:
        """Start a fresh projection from the base's own directions on the training texts."""
        from tardif.encoder.model import fit_projection

        job = self.job
        if job.base.is_colbert or not job.recipe.projects(job.base):
            return
        contents = (document.content for document in self.data.documents.values())
        asked = (self.data.queries[query] for query in self.data.query_ids(TRAIN))
        documents = keyed_sample(job.seed, contents, _PROJECTION_DOCUMENTS)
        queries = keyed_sample(job.seed, asked, _PROJECTION_QUERIES)
        fit_projection(model, [*documents, *queries])

    def _collator(self, model: MultiVectorEncoder) -> Collator:
        from tardif.encoder.encoding import SUB_BATCH_TOKENS
        from tardif.encoder.tokens import tokens_for
        from tardif.training.batches import Collator

        return Collator(
            self.data,
            tokens_for(model, SUB_BATCH_TOKENS[self.device], self.settings.training_length),
            negatives_per_example=self.settings.negatives_per_example,
            mask_known_positives=self.settings.mask_known_positives,
            seed=self.settings.seed,
        )

    def _timed(self, model: MultiVectorEncoder, collator: Collator) -> float:
        """The seconds of one batch; every process must take part."""
        from tardif.training.library_trainer import timed_batch
        from tardif.training.objective import Objective

        return timed_batch(Objective(model, self.settings), collator, self.settings, self.device, self.world)

    def _plan(self, model: MultiVectorEncoder, timed: float | None) -> Plan:
        from tardif.data.judged import searchable
        from tardif.training.refresh import mineable

        contents = [len(document.content) / CHARACTERS_PER_TOKEN for document in self.data.documents.values()]
        tokens, most = self._tokens(model, contents), self.settings.training_length
        trained = None if most is None else min(tokens.documents, _mean_cut(contents, most))
        work = Work(_parameters(model), tokens, model.get_embedding_dimension() or 0, trained)
        held_out = Size(len(searchable(self.data)), len(self.data.query_ids(VALIDATION)))
        drawn = order_of(self.data, self.settings).count
        mined = Size(len(mineable(self.data)), len(self.data.query_ids(TRAIN)))
        made = self.data.is_mostly_made
        return make_plan(self.data.examples, self.settings, held_out, work, timed, drawn, mined, made)

    def _tokens(self, model: MultiVectorEncoder, contents: Sequence[float]) -> Size:
        """About how many tokens a document (uncut: ``contents``) and a query have, as the model reads them."""
        from tardif.encoder.model import transformer_of

        transformer = transformer_of(model)
        most = transformer.document_length or DOCUMENT_CAP
        expansion: dict[str, Any] = getattr(transformer, "query_expansion", None) or {}
        filled = expansion.get("length") or 0
        queries = [max(len(text) / CHARACTERS_PER_TOKEN, filled) for text in self.data.queries.values()]
        return Size(_mean_cut(contents, most), sum(queries) / len(queries))

    def _task(self, plan: Plan) -> ValidationTask | None:
        from tardif.training.validation import validation_task

        return validation_task(self.data, limit=plan.documents, language=self.job.language, seed=self.settings.seed)

    def _measure_before(
        self, model: MultiVectorEncoder
    ) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, float]]:
        """Each query's measures with BM25 and the untrained systems, and the seconds."""
        task = self.task
        if self.job.crossed:
            untrained = {name: _plain(values) for name, values in self.job.crossed.items() if name != TRAINED}
            return untrained, {"loading": 0.0, "evaluation": 0.0}
        if task is None:
            self.console.say("No query is held out: nothing is measured, and the last checkpoint will be published.")
            return {}, {"loading": 0.0, "evaluation": 0.0}
        from tardif.encoder.model import raw_view
        from tardif.evaluation.measures import spoken
        from tardif.training.precision import computing

        self.console.say(f"Validation: {task.describe()}.")
        untrained = {BM25: task.bm25_values(self.job.language)}
        with computing(self.settings.precision, self.device):
            untrained[RAW] = task.values(raw_view(model), self.console, "Before: the base's raw vectors")
            began = time.monotonic()
            untrained[STEP_0] = task.values(model, self.console, "Before: the recipe at step 0")
        seconds = {"loading": 0.0, "evaluation": time.monotonic() - began}
        for name, values in untrained.items():
            self.console.say(f"  {name}: {spoken(means(values))}")
        return untrained, seconds

    def _train(
        self, model: MultiVectorEncoder, collator: Collator, found: Found, checkpoint: Path | None
    ) -> TrainingResult:
        from tardif.training.callbacks import Outcome
        from tardif.training.library_trainer import run

        outcome = Outcome()
        try:
            run(
                model,
                collator,
                self.task,
                self.settings,
                outcome,
                plan=found.plan,
                folder=self.folder,
                checkpoint=checkpoint,
                device=self.device,
                seconds_per_evaluation=found.seconds["evaluation"],
                console=self.console,
                world=self.world,
                refresher=self._refresher(model),
            )
        except BaseException as error:
            self.folder.keep = not outcome.diverged
            if self.world.leads:
                self._publish_what_there_is(model, outcome, found, error)
            raise
        return self.world.from_lead(lambda: self._finish(model, outcome, found))

    def _refresher(self, model: MultiVectorEncoder) -> Refresher | None:
        from tardif.training.refresh import Refresher

        if not self.settings.refreshes:
            return None
        return Refresher(model, self.data, self.job.language, self.settings, self.folder.path)

    def _finish(self, model: MultiVectorEncoder, outcome: Outcome, found: Found) -> TrainingResult:
        result = self._result(outcome, found)
        self._publish(model, outcome, found, result)
        self.folder.keep = outcome.interrupted
        if outcome.interrupted:
            self.console.say(
                f"The best checkpoint so far is in {self.job.path}; --resume (in Python resume=True) goes on."
            )
        self._tell(result)
        return result

    def _tell(self, result: TrainingResult) -> None:
        if not self.job.told:
            return
        for line in summary(result):
            self.console.tell(line)
        for line in result.warnings:
            self.console.warn(line)

    def _publish_what_there_is(
        self, model: MultiVectorEncoder, outcome: Outcome, found: Found, error: BaseException
    ) -> None:
        """The best checkpoint of a run that failed; whatever hinders it, the failure itself is what is told."""
        if not outcome.best_step:
            return
        try:
            result = self._result(outcome, found, f"{type(error).__name__}: {error}".rstrip(": "))
            self._publish(model, outcome, found, result)
        except TardifError as another:
            self.console.say(str(another))
        else:
            self.console.say(f"The best checkpoint so far is kept in {self.job.path}.")
            self._tell(result)

    def _publish(self, model: MultiVectorEncoder, outcome: Outcome, found: Found, result: TrainingResult) -> None:
        """Copy the chosen model to the output, whole or not at all: until then the run can be resumed."""
        from tardif.training.averaging import blended
        from tardif.training.callbacks import copy_model, keep_model

        if not result.kept:  # the whole way back to the weights that it began with
            with blended(model, self.folder.start, 1.0):
                keep_model(model, self.folder.best(0))
        replace = self.job.overwrite or self.folder.resumed
        with staged(self.job.path, overwrite=replace, held=True) as aside:
            try:
                copy_model(self.folder.best(result.kept), aside)
                for extra in (self.folder.log, *self.folder.path.glob("runs")):
                    if extra.is_dir():  # of a logger that writes files
                        shutil.copytree(extra, aside / extra.name)
                    elif extra.exists():
                        shutil.copy2(extra, aside / extra.name)
            except shutil.Error as error:
                raise FolderError(f"{self.job.path} could not be written ({error.args[0][0][2]}).") from error
            write_json(aside / "results.json", result.as_json())
            if found.untrained and (trained := self._trained(outcome)):
                write_values(aside, {**found.untrained, TRAINED: trained})

    def _trained(self, outcome: Outcome) -> Values:
        """Each query's measures with the training that is judged; empty where there are none."""
        return self.job.crossed.get(TRAINED) or outcome.best_values

    def _advice(self) -> str:
        """What to do where nothing was measured, or too little to tell."""
        queries = self.data.query_ids(TRAIN)
        if self.job.crossed:  # every query is judged already
            return " More judged queries would tell."
        if len(queries) > _MOST_FOR_FOLDS:
            return " Hold out more, or rows of your own (--validation, in Python validation=)."
        total, folds = len(queries) + len(self.data.query_ids(VALIDATION)), min(_FOLDS, len(queries))
        if folds < 2:
            return ""
        return (
            f" Cross-validation judges all {total} queries, with {folds + 1} trainings in place of one: --folds "
            f"{folds} (in Python folds={folds}), on data of which none is held out (--validation 0, in Python "
            "validation=0)."
        )

    def _crossed(self) -> str | None:
        """How cross-validation has judged, if it has."""
        if not self.job.crossed:
            return None
        queries = len(next(iter(self.job.crossed[TRAINED].values())))
        return f"{queries} queries in {self.settings.folds} folds"

    def _result(self, outcome: Outcome, found: Found, failure: str = "") -> TrainingResult:
        job, task, untrained = self.job, self.task, found.untrained
        judged = judge(
            untrained,
            self._trained(outcome),
            outcome.best_step,
            keep_untrained=self.settings.keep_untrained,
            reason="" if task else _NOT_HELD_OUT,
            advice=self._advice(),
        )
        warnings = [*judged.warnings]
        if outcome.steps and outcome.steps_without_loss == outcome.steps:
            warnings.append(f"The loss of all {outcome.steps} steps was exactly 0: the model has learnt nothing.")
        return TrainingResult(
            path=job.path,
            before=means(untrained[stronger(untrained)]) if untrained else {},
            after=judged.after,
            baselines={name: means(values) for name, values in untrained.items()},
            kept=judged.kept,
            comparison=judged.comparison,
            beside_bm25=judged.beside_bm25,
            reason=judged.reason,
            warnings=warnings,
            settings={
                "tardif": __version__,
                "base": job.base.name,
                "dim": job.recipe.width(job.base),
                "language": job.language.code,
                "device": self.device,
                "processes": self.world.size,
                **self.settings.as_json(),
                "planned_steps": outcome.planned_steps,
                "steps": outcome.steps,
                "epochs_done": outcome.epochs,
                "ran_out_of_time": outcome.ran_out_of_time,
                "stopped_early": outcome.stopped_early,
                "resumed_at": outcome.resumed_at,
                "refreshed_at": outcome.refreshed_at,
                "best_step": outcome.best_step,
                "steps_without_loss": outcome.steps_without_loss,
                "evaluated": outcome.evaluations,
                "validation": task.describe() if task else self._crossed(),
                "data": {**self.data.counts(), **dict(self.data.settings)},
            },
            seconds={
                **found.seconds,
                "training": outcome.seconds - outcome.seconds_evaluating - outcome.seconds_refreshing,
                "evaluation during training": outcome.seconds_evaluating,
                **({"refreshing": outcome.seconds_refreshing} if self.settings.refreshes else {}),
            },
            interrupted=outcome.interrupted,
            failure=failure,
        )


def deciding(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide what a run comes to."""
    own = {name: value for name, value in settings.as_json().items() if name not in _FREE_SETTINGS}
    return {**own, **{name: value for name, value in settings.other.items() if name not in _FREE_ARGUMENTS}}


def _plain(values: Values) -> dict[str, dict[str, float]]:
    return {name: dict(by) for name, by in values.items()}


def _mean_cut(lengths: Sequence[float], most: int) -> float:
    """The mean of lengths, each cut at ``most``."""
    return sum(min(length, most) for length in lengths) / len(lengths)


def _versions() -> dict[str, str]:
    """Of what may change the last bits."""
    import torch

    return {"tardif": __version__, "torch": torch.__version__}


def _fingerprint(model: MultiVectorEncoder) -> str:
    """What a model is before training: its weights and its tokenizer."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}\x00{tensor.dtype}\x00{tuple(tensor.shape)}\x00".encode())
        digest.update(flat.view(torch.uint8).numpy())
    digest.update(repr(sorted(model.tokenizer.get_vocab().items())).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _parameters(model: MultiVectorEncoder) -> int:
    """The weights that every token is multiplied with: all but the embeddings."""
    from torch import nn

    embedded = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
    return sum(weight.numel() for weight in model.parameters()) - embedded


def data_digest(data: TrainingSet) -> str:
    """What a training set holds, in its order."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: object) -> None:
        digest.update(repr(values).encode("utf-8", "surrogatepass"))

    if data.parts:
        add(*data.parts)
    for document in data.documents.values():
        add(document.id, document.title, document.text)
    for query, text in data.queries.items():
        add(query, text, data.split[query], *data.qrels.get(query, {}).items())
    for example in data.examples:
        add(example.query_id, example.positive_id, example.negative_ids, example.scores)
    return digest.hexdigest()

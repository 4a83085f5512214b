"""The Trainer: initialised and validated at once, then prepared, then trained."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tardif
from tardif.data.text import keyed_sample
from tardif.data.training_set import TRAIN, TrainingSet, is_training_set
from tardif.devices import Allocation, allocate
from tardif.errors import SettingError
from tardif.folders import check_name, check_output, publish, write_json
from tardif.languages import language as find_language
from tardif.modeling.base import Base, resolve_base
from tardif.modeling.recipe import Recipe
from tardif.talk import Talk
from tardif.training.result import TrainingResult
from tardif.training.settings import TrainingSettings, settings_from
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.loop import Outcome
    from tardif.training.validation import ValidationTask

# Texts that the projection is fitted on: some 50,000 tokens, far more than its rank.
_PROJECTION_DOCUMENTS, _PROJECTION_QUERIES = 256, 128


class Trainer:
    """Trains a late-interaction retriever from any base.

    Everything is validated when it is made, in about a second and without importing torch: the
    base by its small files, the name, the language, the devices, the output folder. The weights are
    read once, when training begins. It starts with an empty :attr:`collection`, no :attr:`queries`
    and no :attr:`triplets`.

    Args:
        name: names the checkpoint's folder, ``out / name``.
        base: a folder or hub id: a ColBERT (sentence-transformers, PyLate or Stanford format), or
            any BERT-like encoder; a dense sentence-transformers model counts.
        language: ISO 639 code; chooses the miner's stemmer and stopwords.
        devices: ``cpu``, ``mps``, ``cuda``, ``auto``, or a number of GPUs.
        out: where the checkpoint's folder goes.
        dim: width of the token vectors: ``auto`` (128, or an existing ColBERT's own), a number, or
            None for the base's own width.
        query_length: tokens read of a query; 128 for a fresh ColBERT, an existing one's own.
        document_length: tokens read of a document; 256 for a fresh ColBERT, an existing one's own.
        expansion: fill short queries with mask tokens up to so many tokens, 0 for none; 32 for a fresh
            ColBERT, an existing one's own.
        seed: of everything random.
        overwrite: replace a checkpoint of the same name when training ends.
        trust_remote_code: let the base bring its own code.
        quiet: show no progress on stderr.

    Raises:
        ModelError: the base does not exist, is no encoder, or is damaged.
        SettingError: another argument cannot be used.
        FolderError: the output folder cannot be written, or holds a checkpoint already.
    """

    def __init__(
        self,
        name: str,
        base: str | Path = "sentence-transformers/all-MiniLM-L6-v2",
        language: str = "en",
        devices: str | int = "auto",
        *,
        out: str | Path = ".",
        dim: int | Literal["auto"] | None = "auto",
        query_length: int | None = None,
        document_length: int | None = None,
        expansion: int | None = None,
        seed: int = 0,
        overwrite: bool = False,
        trust_remote_code: bool = False,
        quiet: bool = False,
    ) -> None:
        self.name = check_name(name)
        self.language = find_language(language)
        self.devices: Allocation = allocate(devices)
        self.recipe = Recipe(dim, query_length, document_length, expansion)
        self.base: Base = resolve_base(base, trust_remote_code=trust_remote_code)
        self.recipe.check(self.base)
        self.path = check_output(Path(out) / name, overwrite=overwrite)
        self.seed = seed
        self.overwrite = overwrite
        self.trust_remote_code = trust_remote_code
        self.data: TrainingSet | None = None
        self.talk = Talk(quiet=quiet)
        if self.base.note:
            self.talk.say(self.base.note)

    @property
    def collection(self) -> list[Document]:
        """The documents prepared so far."""
        return [] if self.data is None else list(self.data.documents.values())

    @property
    def queries(self) -> dict[str, str]:
        """The query texts prepared so far, by id."""
        return {} if self.data is None else dict(self.data.queries)

    @property
    def triplets(self) -> list[tuple[str, str, str]]:
        """(query id, positive id, hard negative id) of every training example."""
        examples = () if self.data is None else self.data.examples
        return [(e.query_id, e.positive_id, negative) for e in examples for negative in e.negative_ids]

    def prepare(
        self,
        data: str | Path | TrainingSet | Iterable[Any] | None,
        documents: Any = None,
        *,
        validation: Any = 0.1,
        **options: Any,
    ) -> TrainingSet:
        """Read, validate, split and mine; replaces what was prepared before.

        Args:
            data: anything that :func:`tardif.data.formats.open_source` reads: pairs, labelled pairs,
                triplets, scored examples; as an iterable, a frame, a dataset, a file or a folder (BEIR,
                ColBERT, TREC). A prepared folder, or a :class:`TrainingSet`. None with
                ``synthesize=True``: queries are made from the documents.
            documents: the corpus, if it is not in ``data``: a list, a file, or a folder of text.
            validation: share of queries to hold out, or held-out rows of their own.
            **options: of :class:`tardif.preparation.Preparation`: ``miner``, ``negatives``, ``split``, ...

        Raises:
            DataError: the input cannot be read or makes no sense.
        """
        if isinstance(data, TrainingSet):
            self.data = data
        elif isinstance(data, str | Path) and is_training_set(data):
            self.data = TrainingSet.load(data)
        else:
            from tardif.preparation import prepare

            defaults = {"language": self.language.code, "base": self.base.name, "seed": self.seed}
            self.data = prepare(
                [] if data is None else [data],
                documents,
                validation=validation,
                talk=self.talk,
                **{**defaults, **options},
            )
        return self.data

    def train(self, **settings: Any) -> TrainingResult:
        """Fine-tune, keep the checkpoint that is best on the held-out queries, publish it.

        Args:
            **settings: fields of :class:`~tardif.training.settings.TrainingSettings` (``epochs``,
                ``minutes``, ``batch_size``, ``lr``, ...) and any other training argument of
                sentence-transformers.

        Raises:
            SettingError: a setting is not known or out of range, or nothing has been prepared.
            ModelError: the weights cannot be loaded.
            TrainingError: the training diverged or memory ran out; the best checkpoint so far is kept.
        """
        checked = settings_from({"seed": self.seed, **settings})
        if self.data is None or not self.data.examples:
            raise SettingError("There is nothing to train on: call prepare first.")
        checked.check_against(self.data, self.recipe.width(self.base))
        from tardif.modeling.build import build_model
        from tardif.training.validation import validation_task

        began = time.monotonic()
        device = self._device()
        model = build_model(
            self.base, self.recipe, device=device, seed=checked.seed, trust_remote_code=self.trust_remote_code
        )
        self._fit_projection(model)
        seconds = {"loading": time.monotonic() - began}
        task = validation_task(self.data, limit=checked.validation_documents, language=self.language, seed=checked.seed)
        before, baselines = self._measure_before(model, task, seconds)
        return self._train(model, checked, task, before, baselines, seconds, device)

    def _device(self) -> str:
        """The device's name for torch, which must be built for it."""
        import torch

        if self.devices.kind == "cuda" and not torch.cuda.is_available():
            raise SettingError(
                "There is a CUDA GPU, but this torch is built without CUDA: install one that has it, "
                "or use devices='cpu'."
            )
        return self.devices.kind

    def _fit_projection(self, model: MultiVectorEncoder) -> None:
        """Start a fresh projection from the base's own directions on the training texts."""
        from tardif.modeling.build import fit_projection

        if self.base.is_colbert or self.recipe.dim is None or self.data is None:
            return
        contents = (document.content for document in self.data.documents.values())
        asked = (self.data.queries[query] for query in self.data.query_ids(TRAIN))
        documents = keyed_sample(self.seed, contents, _PROJECTION_DOCUMENTS)
        queries = keyed_sample(self.seed, asked, _PROJECTION_QUERIES)
        fit_projection(model, [*documents, *queries])

    def _measure_before(
        self, model: MultiVectorEncoder, task: ValidationTask | None, seconds: dict[str, float]
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """The stronger of the two untrained systems, and every system measured."""
        if task is None:
            self.talk.say("No held-out queries: the last checkpoint is kept, and nothing is measured.")
            seconds["evaluation"] = 0.0
            return {}, {}
        from tardif.evaluation import spoken
        from tardif.modeling.build import raw_view

        self.talk.say(f"Validation: {task.describe()}.")
        baselines = {"bm25": task.measure_bm25(self.language)}
        baselines["raw"] = task.measure(raw_view(model), self.talk, "Before: the base's raw vectors")
        began = time.monotonic()
        baselines["step 0"] = task.measure(model, self.talk, "Before: the recipe at step 0")
        seconds["evaluation"] = time.monotonic() - began
        for name, figures in baselines.items():
            self.talk.say(f"  {name}: {spoken(figures)}")
        return stronger(baselines["raw"], baselines["step 0"]), baselines

    def _train(
        self,
        model: MultiVectorEncoder,
        settings: TrainingSettings,
        task: ValidationTask | None,
        before: dict[str, float],
        baselines: dict[str, dict[str, float]],
        seconds: dict[str, float],
        device: str,
    ) -> TrainingResult:
        from tardif.modeling.encoding import SUB_BATCH_TOKENS
        from tardif.modeling.tokens import tokens_for
        from tardif.training.batches import Collator
        from tardif.training.loop import Outcome, run

        assert self.data is not None
        collator = Collator(
            self.data,
            tokens_for(model, SUB_BATCH_TOKENS[device]),
            negatives_per_example=settings.negatives_per_example,
            mask_known_positives=settings.mask_known_positives,
            seed=settings.seed,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{self.name}.", suffix=".training", dir=self.path.parent))
        outcome = Outcome()
        began = time.monotonic()

        def result(failure: str = "") -> TrainingResult:
            seconds["training"] = time.monotonic() - began - outcome.seconds_evaluating
            seconds["evaluation during training"] = outcome.seconds_evaluating
            return self._result(settings, outcome, before, baselines, seconds, task, device, failure)

        try:
            run(
                model,
                collator,
                task,
                settings,
                outcome,
                work=work,
                device=device,
                seconds_per_evaluation=seconds["evaluation"],
                talk=self.talk,
            )
            published = result()
            self._publish(work / "best", published)
        except BaseException as error:
            if (work / "best").is_dir():
                self._publish(work / "best", result(f"{type(error).__name__}: {error}".rstrip(": ")))
                self.talk.say(f"The best checkpoint so far is kept in {self.path}.")
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return published

    def _publish(self, folder: Path, result: TrainingResult) -> None:
        write_json(folder / "results.json", result.as_json())
        publish(folder, self.path)

    def _result(
        self,
        settings: TrainingSettings,
        outcome: Outcome,
        before: dict[str, float],
        baselines: dict[str, dict[str, float]],
        seconds: dict[str, float],
        task: ValidationTask | None,
        device: str,
        failure: str,
    ) -> TrainingResult:
        assert self.data is not None
        return TrainingResult(
            path=self.path,
            before=before,
            after=outcome.best,
            baselines=baselines,
            settings={
                "tardif": tardif.__version__,
                "base": self.base.name,
                "dim": self.recipe.width(self.base),
                "language": self.language.code,
                "device": device,
                **settings.as_json(),
                "planned_steps": outcome.planned_steps,
                "steps": outcome.steps,
                "epochs_done": outcome.epochs,
                "ran_out_of_time": outcome.ran_out_of_time,
                "best_step": outcome.best_step,
                "evaluated": outcome.evaluations,
                "validation": task.describe() if task else None,
                "data": {**self.data.counts(), **dict(self.data.settings)},
            },
            seconds=seconds,
            interrupted=outcome.interrupted,
            failure=failure,
        )


def stronger(*systems: dict[str, float]) -> dict[str, float]:
    """The figures of the system with the highest nDCG@10: what ``before`` means everywhere."""
    return max(systems, key=lambda figures: figures["nDCG@10"])


def summary(result: TrainingResult) -> Sequence[str]:
    """The lines that tell a person what came out."""
    lines = []
    for name in result.after:
        gain = result.after[name] - result.before[name]
        bm25 = result.baselines.get("bm25", {}).get(name)
        beside = "" if bm25 is None else f"  (BM25 {bm25:.4f})"
        lines.append(
            f"{name:>8}: before {result.before[name]:.4f}, after {result.after[name]:.4f} ({gain:+.4f}){beside}"
        )
    return lines

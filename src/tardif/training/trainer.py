"""The Trainer: initialised and validated at once, then prepared, then trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tardif.data.training_set import TrainingSet, is_training_set
from tardif.devices import Allocation, allocate, cuda_count, own_number, world_size
from tardif.display import ShortDict, ShortList, brief_repr, short, table
from tardif.encoder import MINILM
from tardif.encoder.base import Base, resolve_base
from tardif.encoder.coverage import SAMPLE, language_warning, texts_warning
from tardif.encoder.recipe import Recipe
from tardif.errors import ModelError, SettingError
from tardif.folders import check_name, check_output, expanded
from tardif.progress import Console
from tardif.text.languages import language as find_language
from tardif.training.negatives import check_negatives
from tardif.training.preflight import check_run
from tardif.training.result import TrainingResult
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings, settings_from
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.training.run_config import RunConfig


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
        devices: ``cpu``, ``mps``, ``cuda`` (one GPU), a number of GPUs, or ``auto``: all GPUs where there are some.
            Each GPU has a process of its own.
        out: where the checkpoint's folder goes.
        dim: width of the token vectors: ``auto`` (the base's own up to 384, or an existing ColBERT's own), a
            number, or None for the base's own however wide.
        query_length: tokens read of a query; 128 for a fresh ColBERT, an existing one's own.
        document_length: tokens read of a document in search; 512, or what the base can read, for a fresh
            ColBERT, an existing one's own.
        expansion: fill short queries with mask tokens up to so many tokens, 0 for none; none for a fresh
            ColBERT, an existing one's own.
        markers: begin queries with ``[Q]`` and documents with ``[D]``. None: a fresh ColBERT does, but not where most
            queries are made from the documents; an existing one has its own.
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
        base: str | Path = MINILM,
        language: str = "en",
        devices: str | int = "auto",
        *,
        out: str | Path = ".",
        dim: int | Literal["auto"] | None = "auto",
        query_length: int | None = None,
        document_length: int | None = None,
        expansion: int | None = None,
        markers: bool | None = None,
        seed: int = 0,
        overwrite: bool = False,
        trust_remote_code: bool = False,
        quiet: bool = False,
    ) -> None:
        self.name = check_name(name)
        self.language = find_language(language)
        self.devices: Allocation = allocate(devices)
        self.recipe = Recipe(dim, query_length, document_length, expansion, markers)
        self.base: Base = resolve_base(base, trust_remote_code=trust_remote_code)
        self.recipe.check(self.base)
        place = expanded(out).absolute() / name
        # What a run that is not finished has put there is replaced when it ends.
        self.path = check_output(place, overwrite=overwrite or RunFolder(place).is_unfinished())
        self.seed = seed
        self.overwrite = overwrite
        self.trust_remote_code = trust_remote_code
        self.data: TrainingSet | None = None
        self._sets: list[TrainingSet] = []
        self._weights: list[float] = []
        self.console = Console(quiet=quiet or own_number() > 0)
        if self.base.note:
            self.console.say(self.base.note)
        self._warn(language_warning(self.base, self.language))

    def _warn(self, remark: str) -> None:
        """Say what must be known; of several processes started together one does."""
        if remark and own_number() == 0:
            self.console.warn(remark)

    def _warn_of_texts(self, data: TrainingSet) -> None:
        """Say it if the base reads the texts badly, whatever language they are declared to be in."""
        from tardif.data.chunking import load_tokenizer
        from tardif.text.normal import keyed_sample

        texts = [*(document.content for document in data.documents.values()), *data.queries.values()]
        sample = keyed_sample(self.seed, texts, SAMPLE)
        with suppress(ModelError):  # of a damaged tokenizer, which is told of when the model is loaded
            self._warn(texts_warning(f"The base {self.base.name}", load_tokenizer(self.base), sample, "these texts"))

    def __repr__(self) -> str:
        prepared = "nothing prepared" if self.data is None else f"data={self.data!r}"
        return brief_repr(
            self, short(self.name), f"base={short(self.base.name)}", f"path={short(str(self.path))}", prepared
        )

    def _repr_html_(self) -> str:
        rows = {"base": self.base.name, "path": self.path, "devices": self.devices.kind, "language": self.language.name}
        prepared = {} if self.data is None else {"prepared": self.data}
        return table((), {**rows, **prepared}.items(), caption=f"Trainer {self.name}")

    @property
    def collection(self) -> list[Document]:
        """The documents prepared so far."""
        return ShortList(() if self.data is None else self.data.documents.values())

    @property
    def queries(self) -> dict[str, str]:
        """The query texts prepared so far, by id."""
        return ShortDict({} if self.data is None else self.data.queries)

    @property
    def triplets(self) -> list[tuple[str, str, str]]:
        """(query id, positive id, hard negative id) of every training example."""
        examples = () if self.data is None else self.data.examples
        return ShortList((e.query_id, e.positive_id, negative) for e in examples for negative in e.negative_ids)

    def prepare(
        self,
        data: str | Path | TrainingSet | Iterable[Any] | None,
        documents: Any = None,
        *,
        validation: Any = None,
        **options: Any,
    ) -> TrainingSet:
        """Read, validate, split and mine; replaces what was prepared before.

        Args:
            data: anything that :func:`tardif.data.formats.open_source` reads: pairs, labelled pairs,
                triplets, scored examples; as an iterable, a frame, a dataset, a file or a folder (BEIR,
                ColBERT, TREC); or a dict or folder of rows, ``queries`` and ``documents``
                (:func:`tardif.data.inputs.source_tables`). A prepared folder, or a :class:`TrainingSet`. None with
                ``synthesize=True``: queries are made from the documents.
            documents: the corpus, if it is not in ``data``: a list, a file, or a folder of text.
            validation: share of queries to hold out, or held-out rows of their own. None or ``auto`` holds out a tenth,
                at most 500; with fewer than 500 queries 50 of them, or a third where that is less.
            **options: ``queries``, the texts of queries that ``data`` names by ids, and those of
                :class:`tardif.preparation.Preparation`: ``columns``, ``scores``, ``clicks``, ``miner``, ``negatives``,
                ``ratio``, ``teacher``, ``split``, ... They act when data are prepared: with a prepared folder or a
                :class:`TrainingSet` there can be none.

        Raises:
            DataError: the input cannot be read or makes no sense.
            SettingError: an option is not known, cannot be used, or comes too late: the data are prepared already.
        """
        self._sets, self._weights = [self._prepared(data, documents, validation, options)], [1.0]
        self.data = self._sets[0]
        self._warn_of_texts(self.data)
        return self.data

    def add(
        self, data: Any, documents: Any = None, *, weight: float = 1.0, validation: Any = None, **options: Any
    ) -> TrainingSet:
        """Mix another training set into what was prepared before.

        Args:
            data: as for :meth:`prepare`, as are ``documents``, ``validation`` and ``options``.
            weight: how often an epoch uses each of its examples: 2 twice, 0.5 every other epoch.

        Raises:
            DataError: the input cannot be read or makes no sense.
            SettingError: nothing was prepared before, or the weight cannot be used.
        """
        from tardif.data.mixing import mix

        if not self._sets:
            raise SettingError("There is nothing to add to: call prepare first.")
        sets = [*self._sets, self._prepared(data, documents, validation, options)]
        self._warn_of_texts(sets[-1])
        self.data = mix(sets, [*self._weights, weight])
        self._sets, self._weights = sets, [*self._weights, weight]
        return self.data

    def _prepared(self, data: Any, documents: Any, validation: Any, options: dict[str, Any]) -> TrainingSet:
        if isinstance(data, TrainingSet) or (isinstance(data, str | Path) and is_training_set(data)):
            asked = {"documents": documents, "validation": validation}
            late = [*(name for name, value in asked.items() if value is not None), *options]
            if late:
                raise _come_too_late("The training set" if isinstance(data, TrainingSet) else str(data), late)
            return data if isinstance(data, TrainingSet) else TrainingSet.load(data)
        from tardif.data.split import AUTO
        from tardif.mining.mining_plan import work_folder
        from tardif.preparation import prepare

        defaults: dict[str, Any] = {
            "language": self.language.code,
            "base": self.base.name,
            "seed": self.seed,
            "device": self.devices.kind,
        }
        # Of several processes started together one keeps what it has mined, for when it is interrupted.
        if own_number() == 0:
            defaults["work"] = work_folder(self.path)
        return prepare(
            [] if data is None else [data],
            documents,
            validation=AUTO if validation is None else validation,
            console=self.console,
            **{**defaults, **options},
        )

    def train(self, *, resume: bool = False, processes: int | None = None, **settings: Any) -> TrainingResult:
        """Fine-tune, keep the checkpoint that is best on the held-out queries, publish it.

        Args:
            resume: go on with the unfinished run of this name, however it was broken off, to the end that
                it would have had. Base, data and settings must be what it was started with. Where
                there is none, start from the beginning.
            processes: how many train together, each on its part of every batch: by default one for each GPU of
                ``devices``, or one. They are started here, unless torchrun or accelerate has started
                this very script several times: then those are the processes.
            **settings: fields of :class:`~tardif.training.settings.TrainingSettings` (``epochs``,
                ``minutes``, ``batch_size``, ``lr``, ...) and any other training argument of
                sentence-transformers.

        Raises:
            SettingError: a setting is not known or out of range, nothing has been prepared, or the run to
                resume was started with something else.
            DataError: no example has any negative, so that nothing could be learnt.
            FolderError: an unfinished run is there, and neither ``resume`` nor ``overwrite`` is set; or the
                disk is full: the last checkpoint can be gone on from.
            ModelError: the weights cannot be loaded.
            TrainingError: the training diverged, memory ran out or a process died; the best checkpoint so far
                is kept.
        """
        checked = self.check(processes=processes, **settings)
        if self.data is None or not self.data.examples:
            raise SettingError("There is nothing to train on: call prepare first.")
        checked.check_against(self.data, self.recipe.width(self.base))
        if (remark := check_negatives(self.data, checked)) and own_number() == 0:
            self.console.warn(remark)
        count = self.process_count(processes, checked)
        from tardif.training.run_config import RunConfig

        config = RunConfig(
            base=self.base,
            recipe=self.recipe,
            data=self.data,
            language=self.language,
            path=self.path,
            seed=self.seed,
            overwrite=self.overwrite,
            trust_remote_code=self.trust_remote_code,
            console=self.console,
        )

        def train(config: RunConfig, settings: TrainingSettings, resume: bool) -> TrainingResult:
            if count > 1 and world_size() == 1:
                return self._train_in_processes(count, config, settings, resume)
            return self._train_here(config, settings, resume)

        if checked.folds == 1:
            return train(config, checked, resume)
        if world_size() > 1:
            raise SettingError("folds are trained one after the other by one script: start it once, with processes=.")
        from tardif.training.folds import train_in_folds

        return train_in_folds(config, checked, train, resume=resume)

    def _train_in_processes(
        self, count: int, config: RunConfig, settings: TrainingSettings, resume: bool
    ) -> TrainingResult:
        """Train in processes that are started for it."""
        from tardif.training.launch import train_in_processes

        device, folder = self._device(), RunFolder(config.path)
        with folder.held(resume=resume, overwrite=config.overwrite, console=self.console):
            return train_in_processes(count, config, settings, device, folder)

    def _train_here(self, config: RunConfig, settings: TrainingSettings, resume: bool) -> TrainingResult:
        """Train in this process, with those that it was started with."""
        from tardif.training.distributed import join
        from tardif.training.run import TrainingRun

        device, folder, failed = self._device(), RunFolder(config.path), True
        group = join(device)
        try:
            with ExitStack() as held:
                holding = folder.held(resume=resume, overwrite=config.overwrite, console=self.console)
                group.on_main(lambda: held.enter_context(holding))
                result = TrainingRun(config, settings, device, folder, group).run()
            failed = False
        finally:
            group.wait(failed=failed)
        return result

    def check(self, *, processes: int | None = None, **settings: Any) -> TrainingSettings:
        """The settings that :meth:`train` would run with, checked before any data are read.

        Args:
            processes: as for :meth:`train`.
            **settings: as for :meth:`train`.

        Raises:
            SettingError: an argument cannot be used, or the base, the device or this machine cannot serve it.
        """
        checked = settings_from({"seed": self.seed, **settings})
        check_run(checked, self.base, self.recipe, self.devices.kind)
        self.process_count(processes, checked)
        return checked

    def process_count(self, asked: int | None, settings: TrainingSettings) -> int:
        """How many processes :meth:`train` has train together, when it is asked for so many.

        Raises:
            SettingError: there cannot be so many.
        """
        if asked is not None and (not isinstance(asked, int) or isinstance(asked, bool) or asked < 1):
            raise SettingError(f"processes={asked!r}: give a whole number, 1 or more.")
        started, kind = world_size(), self.devices.kind
        if started > 1:
            if asked not in (None, started):
                raise SettingError(f"processes={asked}: this script was started as {started} processes already.")
            return started
        if asked is None:
            return min(self.devices.count, settings.batch_size)
        if asked > settings.batch_size:
            raise SettingError(f"processes={asked}: a batch of {settings.batch_size} cannot be shared by so many.")
        if asked > 1 and kind == "mps":
            raise SettingError(f"processes={asked}: there is one Apple GPU; give 1, or devices='cpu'.")
        if kind == "cuda" and asked > cuda_count():
            raise SettingError(f"processes={asked}: this machine has {cuda_count()} GPU(s), and each takes one.")
        return asked

    def _device(self) -> str:
        """The device's name for torch, which must be built for it."""
        if self.devices.kind == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise SettingError(
                    "There is a CUDA GPU, but this torch is built without CUDA: install one that has it, "
                    "or use devices='cpu'."
                )
        return self.devices.kind


def _come_too_late(data: str, names: Sequence[str]) -> SettingError:
    spelt = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    act, them = ("acts", "it") if len(names) == 1 else ("act", "them")
    return SettingError(
        f"{data} is prepared already, and {', '.join(names)} ({spelt}) {act} when data are prepared: leave {them} out, "
        f"or prepare the data again with {them}."
    )

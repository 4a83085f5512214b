"""The trainer: made and validated at once, then given data, then trained.

Read :class:`Trainer` from top to bottom: ``__init__`` checks the arguments, ``prepare`` and ``add`` make the training
set, ``train`` makes a run of it (:mod:`tardif.training.run`), in this process or in several.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from tardif.data.training_set import TrainingSet, is_training_set
from tardif.devices import Allocation, allocate, cuda_count, own_rank, world_size
from tardif.display import ShortDict, ShortList, brief_repr, short, table
from tardif.encoder import MINILM
from tardif.encoder.base import Base, resolve_base
from tardif.encoder.coverage import SAMPLE, language_warning, texts_warning
from tardif.encoder.recipe import Recipe
from tardif.errors import ModelError, SettingError
from tardif.extras import need
from tardif.folders import check_name, check_output, expanded
from tardif.libraries import load_libraries
from tardif.progress import Console
from tardif.text.languages import language as find_language
from tardif.training.preflight import check_negatives, check_run
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings, settings_from
from tardif.types import Document


class Trainer:
    """Trains a late-interaction retriever from any base.

    Making one validates everything in about a second, without importing torch: the base by its small files, the name,
    the language, the devices, the output folder. The weights are read once, when training begins. A new trainer has an
    empty :attr:`collection`, no :attr:`queries` and no :attr:`triplets`.

    >>> from tardif import Trainer
    >>> trainer = Trainer("example", base="models/support", devices="cpu", quiet=True)
    >>> trainer.collection, trainer.queries, trainer.triplets
    ([], {}, [])
    >>> data = trainer.prepare("pairs.jsonl", validation=0.2, seed=0)
    >>> len(trainer.queries), len(trainer.collection)
    (20, 20)
    >>> result = trainer.train(max_steps=1, evaluations=1)
    >>> result.path.name, result.settings["steps"]
    ('example', 1)

    Args:
        name: of the checkpoint's folder, ``out / name``.
        base: a folder or hub id: a ColBERT (sentence-transformers, PyLate or Stanford format), or any BERT-like
            encoder; a dense sentence-transformers model counts.
        language: ISO 639 code; chooses the miner's model, stemmer and stopwords.
        devices: ``cpu``, ``mps``, ``cuda`` (one GPU), a number of GPUs, or ``auto``: all GPUs, else Apple's GPU, else
            the CPU. Each GPU gets a process of its own.
        out: the folder of the checkpoint's folder.
        dim: width of the token vectors: ``auto`` (an existing ColBERT's own, else the base's own up to 384), a number,
            or None for the base's own however wide.
        query_length: tokens read of a query. Default: 128 for a fresh ColBERT, an existing one's own.
        document_length: tokens read of a document in search. Default: 512, or what the base can read, for a fresh
            ColBERT, an existing one's own.
        expansion: fill short queries with mask tokens up to this many tokens, 0 for none. Default: none for a fresh
            ColBERT, an existing one's own.
        markers: begin queries with ``[Q]`` and documents with ``[D]``. Default: an existing ColBERT's own; a fresh one
            does, unless most queries are made from the documents.
        seed: of everything random. Same input, seed and version: same bytes.
        overwrite: replace a checkpoint of the same name when training ends.
        trust_remote_code: let the base run its own code.
        quiet: show no progress on stderr.

    Attributes:
        data: what was prepared, a :class:`~tardif.data.training_set.TrainingSet`; None before.
        command: what a report shows as the way to repeat the run; by default the calls of this trainer.
        path: the checkpoint's folder.

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
        need("train", "Training")
        self.name = check_name(name)
        self.language = find_language(language)
        self.devices: Allocation = allocate(devices)
        settings_from({"seed": seed})  # it is checked here, as data are prepared with it
        self.recipe = Recipe(dim, query_length, document_length, expansion, markers)
        # After the cheap checks: this one reads files and may ask the hub.
        self.base: Base = resolve_base(base, trust_remote_code=trust_remote_code)
        self.recipe.check(self.base)
        place = expanded(out).absolute() / name
        # An unfinished run has a checkpoint there only if it was interrupted: the end of the run replaces it.
        self.path = check_output(place, overwrite=overwrite or RunFolder(place).is_unfinished())
        self.seed, self.overwrite, self.trust_remote_code = seed, overwrite, trust_remote_code
        self.command = ""
        # A base and an output folder as they were typed; of the rest, what is not the default.
        options = {"language": language, "devices": devices, "dim": dim, "seed": seed, "query_length": query_length}
        options |= {"document_length": document_length, "expansion": expansion, "markers": markers}
        self._calls = [_call("trainer = tardif.Trainer", Trainer.__init__, name, base=base, out=out, **options)]
        self.data: TrainingSet | None = None
        self._sets: list[TrainingSet] = []
        self._weights: list[float] = []
        # Of several processes started together, rank 0 alone shows progress.
        self.console = Console(quiet=quiet or own_rank() > 0)
        if self.base.note:
            self.console.say(self.base.note)
        self._warn(language_warning(self.base, self.language))

    def prepare(
        self,
        data: str | Path | TrainingSet | Iterable[Any] | None,
        documents: Any = None,
        *,
        validation: Any = None,
        **options: Any,
    ) -> TrainingSet:
        """Read, validate, split and mine. It replaces what was prepared before.

        Args:
            data: anything that :func:`tardif.data.formats.open_source` reads: pairs, labelled pairs, triplets or scored
                examples, as an iterable, a frame, a dataset, a file or a folder (BEIR, ColBERT, TREC). Or a dict or
                folder of rows, ``queries`` and ``documents`` (:func:`tardif.data.inputs.source_tables`). Or a prepared
                folder or :class:`TrainingSet`. None with ``synthesize=True``: queries are made from the documents.
            documents: the corpus, if it is not in ``data``: a list, a file, or a folder of text.
            validation: the share of queries to hold out, or held-out rows of your own. None or ``auto`` holds out a
                tenth, at most 500; with fewer than 500 queries 50 of them, or a third if that is less.
            **options: ``queries``, the texts of queries that ``data`` names by ids, and the options of
                :class:`tardif.preparation.Preparation`: ``columns``, ``scores``, ``clicks``, ``miner``, ``negatives``,
                ``ratio``, ``teacher``, ``split``, ... Data that are prepared already take none.

        Raises:
            DataError: the input cannot be read or makes no sense.
            SettingError: an option is not known, cannot be used, or comes too late: the data are prepared already.
            ModelError: the base's tokenizer cannot be used.
        """
        self._sets, self._weights = [self._prepared(data, documents, validation, options)], [1.0]
        self.data = self._sets[0]
        asked = {"documents": documents, "validation": validation, **options}
        self._calls = [*self._calls[:1], _call("trainer.prepare", Trainer.prepare, data, **asked)]
        self._warn_of_texts(self.data)
        return self.data

    def add(
        self, data: Any, documents: Any = None, *, weight: float = 1.0, validation: Any = None, **options: Any
    ) -> TrainingSet:
        """Mix another training set into what was prepared before.

        Args:
            data, documents, validation, options: as for :meth:`prepare`.
            weight: how often an epoch uses each of its examples: 2 is twice, 0.5 every other epoch.

        Raises:
            DataError: the input cannot be read or makes no sense.
            SettingError: nothing was prepared before, or the weight cannot be used.
        """
        from tardif.data.mixing import mix

        if not self._sets:
            raise SettingError("There is nothing to add to: call prepare first.")
        sets = [*self._sets, self._prepared(data, documents, validation, options)]
        self._warn_of_texts(sets[-1])
        # Mixed before anything is stored: sets that cannot be mixed leave the trainer as it was.
        self.data = mix(sets, [*self._weights, weight], self.console)
        self._sets, self._weights = sets, [*self._weights, weight]
        asked = {"documents": documents, "weight": weight, "validation": validation, **options}
        self._calls.append(_call("trainer.add", Trainer.add, data, **asked))
        return self.data

    def train(self, *, resume: bool = False, processes: int | None = None, **settings: Any) -> TrainingResult:
        """Fine-tune, keep the checkpoint that is best on the held-out queries, and publish it.

        Args:
            resume: continue the unfinished run of this name. It ends with the weights that it would have had without
                the interruption. Base, data and settings must be those that it was started with. If there is no
                unfinished run, start from the beginning.
            processes: how many train together, each on its part of every batch. Default: one for each GPU of
                ``devices``, or one. They are started here, unless torchrun or accelerate started this script several
                times: then those are the processes.
            **settings: fields of :class:`~tardif.training.settings.TrainingSettings` (``epochs``, ``minutes``,
                ``batch_size``, ``lr``, ...) and other training arguments of sentence-transformers.

        Raises:
            SettingError: a setting is not known or out of range, nothing has been prepared, or the run to resume was
                started with something else.
            DataError: no example has any negative, so that nothing could be learnt.
            FolderError: there is an unfinished run, and neither ``resume`` nor ``overwrite`` is set; or the disk is
                full: the run can be resumed from its last checkpoint.
            ModelError: the weights cannot be loaded.
            TrainingError: the training diverged, memory ran out or a process died; the best checkpoint so far is kept.
        """
        checked = self.check(processes=processes, **settings)
        if self.data is None or not self.data.examples:
            raise SettingError("There is nothing to train on: call prepare first.")
        checked.check_against(self.data, self.recipe.width(self.base))
        self._warn(check_negatives(self.data, checked))
        count = self.process_count(processes, checked)

        def train(config: RunConfig, settings: TrainingSettings, resume: bool) -> TrainingResult:
            if count > 1 and world_size() == 1:
                return self._train_in_processes(count, config, settings, resume)
            return self._train_here(config, settings, resume)

        call = _call("trainer.train", Trainer.train, processes=processes, **settings)
        config = self._run_config(self.data, self.command or "\n".join([*self._calls, call]))
        if checked.folds == 1:
            return train(config, checked, resume)
        if world_size() > 1:
            raise SettingError("folds are trained one after the other by one script: start it once, with processes=.")
        from tardif.training.folds import train_in_folds

        return train_in_folds(config, checked, train, resume=resume)

    def check(self, *, processes: int | None = None, **settings: Any) -> TrainingSettings:
        """Return the settings that :meth:`train` would use, checked before any data are read.

        >>> Trainer("checked", "models/support", devices="cpu", quiet=True).check(lr=1e-5).lr
        1e-05

        Args:
            processes: as for :meth:`train`.
            **settings: as for :meth:`train`.

        Raises:
            SettingError: an argument cannot be used, or the base, the device or this machine does not support it.
        """
        checked = settings_from({"seed": self.seed, **settings})
        check_run(checked, self.base, self.recipe, self.devices.kind)
        self.process_count(processes, checked)
        return checked

    def process_count(self, asked: int | None, settings: TrainingSettings) -> int:
        """Return how many processes :meth:`train` uses, when asked for this many.

        Raises:
            SettingError: there cannot be that many.
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
            raise SettingError(
                f"processes={asked}: a batch of {settings.batch_size} cannot be shared by that many; give fewer, or a "
                "larger batch_size."
            )
        if asked > 1 and kind == "mps":
            raise SettingError(f"processes={asked}: there is one Apple GPU; give 1, or devices='cpu'.")
        if kind == "cuda" and asked > cuda_count():
            raise SettingError(f"processes={asked}: this machine has {cuda_count()} GPU(s), and each takes one.")
        return asked

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

    def __repr__(self) -> str:
        prepared = "nothing prepared" if self.data is None else f"data={self.data!r}"
        return brief_repr(
            self, short(self.name), f"base={short(self.base.name)}", f"path={short(str(self.path))}", prepared
        )

    def _repr_html_(self) -> str:
        rows = {"base": self.base.name, "path": self.path, "devices": self.devices.kind, "language": self.language.name}
        prepared = {} if self.data is None else {"prepared": self.data}
        return table((), {**rows, **prepared}.items(), caption=f"Trainer {self.name}")

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

        self._check_tokenizer(made=data is None or bool(options.get("synthesize") or options.get("endpoint")))
        language, device = self.language.code, self.devices.kind
        defaults: dict[str, Any] = {"language": language, "base": self.base.name, "seed": self.seed, "device": device}
        # Of several processes started together, rank 0 alone keeps what it has mined for a resumed run.
        if own_rank() == 0:
            defaults["work"] = work_folder(self.path)
        return prepare(
            [] if data is None else [data],
            documents,
            validation=AUTO if validation is None else validation,
            console=self.console,
            **{**defaults, **options},
        )

    def _check_tokenizer(self, *, made: bool) -> None:
        """Raise a ModelError if the base's tokenizer cannot be used: that must not wait for the mining.

        ``made`` is whether queries are made from the documents: then there may be no markers.
        """
        load_libraries()
        from tardif.encoder.model import check_tokenizer

        check_tokenizer(self.base, self.recipe.decided(made), trust_remote_code=self.trust_remote_code)

    def _run_config(self, data: TrainingSet, command: str) -> RunConfig:
        return RunConfig(
            base=self.base,
            recipe=self.recipe,
            data=data,
            language=self.language,
            path=self.path,
            seed=self.seed,
            overwrite=self.overwrite,
            trust_remote_code=self.trust_remote_code,
            console=self.console,
            command=command,
        )

    def _train_in_processes(
        self, count: int, config: RunConfig, settings: TrainingSettings, resume: bool
    ) -> TrainingResult:
        """Train in processes that are started for it."""
        from tardif.training.launch import train_in_processes

        device, folder = self._device(), RunFolder(config.path)
        with folder.held(resume=resume, overwrite=config.overwrite, console=self.console):
            return train_in_processes(count, config, settings, device, folder)

    def _train_here(self, config: RunConfig, settings: TrainingSettings, resume: bool) -> TrainingResult:
        """Train in this process, together with those that it was started with."""
        load_libraries()
        from tardif.training.distributed import join
        from tardif.training.replicas import Replicas
        from tardif.training.run import TrainingRun

        device, folder = self._device(), RunFolder(config.path)
        group = join(device)
        if group.peers is not None:
            group.peers.way_out = folder.way_out
        with group.together(), ExitStack() as held:
            replicas = Replicas.find(group, folder)
            holding = folder.held(resume=resume, overwrite=config.overwrite, console=self.console)
            group.gather_made(lambda: held.enter_context(holding) if replicas.is_leader else None)
            replicas.check_newest()
            return TrainingRun(config, settings, device, replicas).run()

    def _device(self) -> str:
        """Return the device's name for torch, if torch is built for it."""
        if self.devices.kind == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise SettingError(
                    "There is a CUDA GPU, but this torch is built without CUDA: install one that has it, "
                    "or use devices='cpu'."
                )
        return self.devices.kind

    def _warn(self, remark: str) -> None:
        """Print a warning; of several processes started together, rank 0 does."""
        if remark and own_rank() == 0:
            self.console.warn(remark)

    def _warn_of_texts(self, data: TrainingSet) -> None:
        """Warn if the base reads the texts badly, whatever language they are declared to be in."""
        from tardif.data.chunking import load_tokenizer
        from tardif.text.normal import keyed_sample

        texts = chain((document.content for document in data.documents.values()), data.queries.values())
        sample = keyed_sample(self.seed, texts, SAMPLE)
        with suppress(ModelError):  # a damaged tokenizer: loading the model reports it
            self._warn(texts_warning(f"The base {self.base.name}", load_tokenizer(self.base), sample, "these texts"))


def _call(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """Write a call with the options that are not the function's defaults."""
    from tardif.evaluation.repeating import python_call

    known = inspect.signature(function).parameters
    asked = {key: value for key, value in options.items() if key not in known or value is not known[key].default}
    return python_call(name, *arguments, **asked)


def _come_too_late(data: str, names: Sequence[str]) -> SettingError:
    spelt = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    act, them = ("acts", "it") if len(names) == 1 else ("act", "them")
    return SettingError(
        f"{data} is prepared already, and {', '.join(names)} ({spelt}) {act} when data are prepared: leave {them} out, "
        f"or prepare the data again with {them}."
    )

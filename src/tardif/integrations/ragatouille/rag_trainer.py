"""RAGatouille's trainer over :class:`tardif.Trainer`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tardif.checks import check_list, check_number
from tardif.data.training_set import TrainingSet
from tardif.devices import cuda_count
from tardif.errors import DataError, OtherRunError, SettingError
from tardif.folders import check_name
from tardif.integrations.ragatouille.data import TrainingDataProcessor, texts_of, with_rules
from tardif.integrations.ragatouille.remarks import ignored
from tardif.integrations.ragatouille.utils import seeded_shuffle
from tardif.training.trainer import Trainer

CHECKPOINTS = Path(".ragatouille") / "colbert" / "checkpoints"

# RAGatouille's own default: a value that differs was chosen by the user.
_LR = 5e-6


class RAGTrainer:
    """Fine-tunes a ColBERT, or makes one of a BERT-like encoder.

    Base, language and devices are checked at once; the weights are read once, when training begins. The checkpoint is
    written to ``.ragatouille/colbert/checkpoints/MODEL_NAME``, with a number behind the name where that exists.

    Args:
        model_name: names the checkpoint's folder.
        pretrained_model_name: a folder or hub id.
        language_code: ISO 639 code; chooses the stemmer and stopwords of the negatives' miner.
        n_usable_gpus: -1 uses all GPUs, or the CPU where there are none; 0 the CPU.

    Attributes:
        collection: the documents' texts; empty at first.
        queries: the queries' texts; None at first.
        training_triplets: ``[query, positive, negative]`` as numbers; empty at first.
        trainer: Tardif's trainer underneath.

    Raises:
        ModelError: the base does not exist, is no encoder, or is damaged.
        SettingError: another argument cannot be used.

    >>> trainer = RAGTrainer("mine", "models/support", language_code="en")  # doctest: +SKIP
    >>> trainer.prepare_training_data(raw_data=pairs, data_out_path="data")  # doctest: +SKIP
    >>> path = trainer.train(batch_size=32)  # doctest: +SKIP
    """

    def __init__(
        self, model_name: str, pretrained_model_name: str, language_code: str = "en", n_usable_gpus: int = -1
    ) -> None:
        self.model_name, self.pretrained_model_name = model_name, pretrained_model_name
        self.language_code = language_code
        self.trainer = Trainer(
            _free_name(check_name(model_name)),
            pretrained_model_name,
            language_code,
            _devices(n_usable_gpus),
            out=CHECKPOINTS,
        )
        self.collection: list[str] = []
        self.queries: set[str] | None = None
        self.training_triplets: list[list[int]] = []

    def add_documents(self, documents: list[str]) -> None:
        """Add documents to the collection that negatives are mined from."""
        self.collection = seeded_shuffle([*self.collection, *_texts(documents, "documents")])

    def prepare_training_data(
        self,
        raw_data: Sequence[Sequence[Any]],
        all_documents: list[str] | None = None,
        data_out_path: str | Path = "./data/",
        num_new_negatives: int = 10,
        hard_negative_minimum_rank: int = 10,
        mine_hard_negatives: bool = True,
        hard_negative_model_size: str = "small",
        pairs_with_labels: bool = False,
        positive_label: int | str = 1,
        negative_label: int | str = 0,
    ) -> str | Path:
        """Read pairs, labelled pairs or triplets, mine hard negatives, and write ColBERT's training files.

        Negatives are mined with BM25 in the trainer's language, which needs no model. The rank window holds: no
        document above ``hard_negative_minimum_rank`` becomes a negative, nor does a copy of an answer.

        Args:
            raw_data: (query, positive), (query, document, label) or (query, positive, negative); a document is a text,
                a list of texts, or a dict with ``content``.
            all_documents: further documents to mine from.
            data_out_path: where the files are written.
            num_new_negatives: how many negatives for each query.
            hard_negative_minimum_rank: the best-ranked documents that are never negatives.
            mine_hard_negatives: mine them; else they are drawn at random.
            hard_negative_model_size: without a meaning here.
            pairs_with_labels: rows of three have a label, not a negative.
            positive_label: the label of relevant documents.
            negative_label: the label of the others.

        Returns:
            ``data_out_path``.

        Raises:
            ValueError: the rows cannot be read.
        """
        if hard_negative_model_size != "small":
            ignored("hard_negative_model_size", "BM25 mines; Trainer.prepare(miner='dense') mines with a model")
        raw_data = check_list(raw_data, "raw_data", ValueError)
        data_type = _data_type(raw_data, pairs_with_labels)
        texts = [*self.collection, *_texts(all_documents or (), "all_documents")]
        for row in raw_data:
            texts += (text for document in row[1 : 3 if data_type == "triplets" else 2] for text in texts_of(document))
        self.collection = seeded_shuffle([text for text in dict.fromkeys(texts) if text.strip()])
        names = dict.fromkeys(row[0] for row in raw_data)
        self.queries, self.data_dir = set(names), Path(data_out_path)
        self.data_processor = TrainingDataProcessor(self.collection, names, prepare=self._prepare)
        self.data_processor.process_raw_data(
            raw_data,
            data_type,
            data_out_path,
            mine_hard_negatives=mine_hard_negatives,
            num_new_negatives=num_new_negatives,
            positive_label=positive_label,
            negative_label=negative_label,
            hard_negative_minimum_rank=hard_negative_minimum_rank,
        )
        self.training_triplets = self.data_processor.training_triplets
        return data_out_path

    def export_training_data(self, path: str | Path) -> None:
        """Write the prepared training files to another folder.

        Raises:
            SettingError: nothing is prepared yet.
        """
        if not hasattr(self, "data_processor"):
            raise SettingError("There is no training data yet: call prepare_training_data first.")
        self.data_processor.export_training_data(path)

    def train(
        self,
        batch_size: int = 32,
        nbits: int = 2,
        maxsteps: int = 500_000,
        use_ib_negatives: bool = True,
        learning_rate: float = 5e-6,
        dim: int = 128,
        doc_maxlen: int = 256,
        use_relu: bool = False,
        warmup_steps: int | Literal["auto"] = "auto",
        accumsteps: int = 1,
    ) -> str:
        """Train, keep the checkpoint that is best on held-out queries, and return its folder.

        An interrupted training of the same script continues where it stopped.

        Args:
            batch_size: examples per step, of all GPUs together.
            nbits: without a meaning here; :meth:`RAGPretrainedModel.index` chooses the bits of an index.
            maxsteps: the most steps.
            use_ib_negatives: other examples' documents of the batch are negatives too.
            learning_rate: RAGatouille's default, 5e-6, stands for Tardif's own, which is 20 times as high and goes with
                averaging the weights with the base's. Another rate is used as it is, without averaging.
            dim: width of the token vectors of a fresh ColBERT; an existing one keeps its own.
            doc_maxlen: tokens read of a document.
            use_relu: must be false.
            warmup_steps: steps over which the rate rises; ``auto``: a tenth of all.
            accumsteps: above 1, memory holds a part of the batch at a time (GradCache); the gradients are the same.

        Raises:
            SettingError: a setting cannot be used, or nothing is prepared.
        """
        if use_relu:
            raise SettingError("use_relu=True: token vectors have no ReLU here; it does not improve retrieval.")
        if nbits != 2:
            ignored("nbits", "it is chosen when an index is built: RAGPretrainedModel.index(..., nbits=4)")
        base = self.trainer.base
        length = min(doc_maxlen, base.max_tokens)
        self.trainer.recipe = replace(
            self.trainer.recipe, dim=base.dim if base.is_colbert else dim, document_length=length
        )
        self.trainer.recipe.check(base)
        settings: dict[str, Any] = {"batch_size": batch_size, "training_length": length}
        # RAGatouille's default of 500,000 steps is no limit.
        if maxsteps < self._steps(batch_size):
            settings["max_steps"] = maxsteps
        if not use_ib_negatives:
            self._check_own_negatives()
            # A batch of one has no other examples; the gradients of a whole batch are summed before a step.
            settings |= {"batch_size": 1, "gradient_accumulation_steps": batch_size}
        if learning_rate != _LR:
            settings |= {"lr": learning_rate, "base_share": 0.0}
        if warmup_steps != "auto":
            settings["warmup_steps"] = warmup_steps
        # colbert-ai accumulates parts of a batch to save memory; GradCache does, with the whole batch's negatives.
        if accumsteps > 1:
            settings["grad_cache"] = True
        return self._train(settings)

    def _check_own_negatives(self) -> None:
        """Raise if no example has a negative of its own: without the batch's, every loss would be 0."""
        if self.trainer.data and not any(example.negative_ids for example in self.trainer.data.examples):
            raise SettingError(
                "use_ib_negatives=False: no row has a negative, so that nothing could be learnt. Use the batch's, or "
                "prepare with num_new_negatives above 0 and further documents (all_documents)."
            )

    def _train(self, settings: dict[str, Any]) -> str:
        """Continue the unfinished training with these settings, or begin one in a folder of its own."""
        others: list[str] = []
        while True:
            self.trainer.name = _free_name(self.model_name, others)
            self.trainer.path = (CHECKPOINTS / self.trainer.name).absolute()
            try:
                return str(self.trainer.train(resume=True, **settings).path)
            except OtherRunError as error:
                # The script was changed since: the unfinished training stays, for the script that began it.
                self.trainer.console.say(f"{error.what} This training gets a folder of its own.")
                others.append(self.trainer.name)

    def _steps(self, batch_size: int) -> int:
        """How many steps the default number of epochs takes."""
        from tardif.training.plan import epochs_for

        check_number("batch_size", batch_size, 1, whole=True)
        examples = len(self.trainer.data.examples) if self.trainer.data else 0
        return int(math.ceil(examples / batch_size) * epochs_for(examples))

    def _prepare(self, rows: Sequence[tuple[str, str, int]], documents: list[str], **options: Any) -> TrainingSet:
        return self.trainer.prepare([*rows], documents, **with_rules(options))


def _data_type(raw_data: Sequence[Sequence[Any]], labelled: bool) -> Literal["pairs", "triplets", "labeled_pairs"]:
    """What the rows are, by the first one; each must have as many fields, and a query first."""
    width = len(raw_data[0]) if raw_data and isinstance(raw_data[0], list | tuple) else 0
    if width not in (2, 3):
        raise ValueError(
            "raw_data: give a list of pairs or triplets, (query, document) or (query, document, document)."
        )
    for number, row in enumerate(raw_data, start=1):
        if not isinstance(row, list | tuple) or len(row) != width:
            raise ValueError(f"raw_data, row {number}: give {width} fields, as in the first row.")
        if not isinstance(row[0], str):
            raise ValueError(f"raw_data, row {number}: the query must be a text, not {type(row[0]).__name__}.")
    if width == 2:
        return "pairs"
    return "labeled_pairs" if labelled else "triplets"


def _devices(n_usable_gpus: int) -> str | int:
    """RAGatouille's number of GPUs as Tardif's devices: its "all there are" is the CPU where there are none."""
    if n_usable_gpus < 0:
        return "auto"
    return min(n_usable_gpus, cuda_count()) or "cpu"


def _texts(documents: Any, name: str) -> list[str]:
    """The texts of a list of documents; as in RAGatouille, what is no text is left out, but a dict's content counts."""
    given = check_list(documents, name, DataError)
    return [text for document in given if isinstance(document, str | dict) for text in texts_of(document)]


def _free_name(name: str, taken: Sequence[str] = ()) -> str:
    """The name itself, or with the first number whose folder is free: an earlier checkpoint is never replaced."""
    from tardif.training.run_folder import RunFolder

    number = 1
    while True:
        candidate = name if number == 1 else f"{name}-{number}"
        place = (CHECKPOINTS / candidate).absolute()
        if candidate not in taken and (not place.exists() or RunFolder(place).is_unfinished()):
            return candidate
        number += 1

"""The guard: foreign queries, far from the training data, that show what training costs elsewhere.

A model that learns its own domain forgets some of what its base knew, and held-out queries of that domain do not show
it. So a few hundred queries of another kind are measured with the untrained model and with the trained one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tardif.checksums import json_checksum
from tardif.data.judged import JudgedSet, read_judged
from tardif.data.split import groups_of
from tardif.errors import DataError
from tardif.evaluation.outcome import Outcome
from tardif.evaluation.python_texts import python_texts
from tardif.evaluation.verdict import DECIDES
from tardif.progress import Console, Silent
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.near import LIMIT
from tardif.training.distributed import ProcessGroup
from tardif.training.settings import AUTO_GUARD, PYTHON_GUARD, TrainingSettings
from tardif.training.validation import ValidationTask, bounded_task

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The most documents of a user's own set: encoding them takes as long as one evaluation on held-out queries.
MOST_DOCUMENTS = 1000


@dataclass(frozen=True)
class GuardSet:
    """Foreign queries over a small corpus. Measuring a model on it encodes every text once.

    >>> from tardif.encoder.model import open_model
    >>> from tardif.types import Document
    >>> judged = JudgedSet("tides", [Document("d", "The moon makes the tides.")], {"q": "moon"}, {"q": {"d": 1}})
    >>> GuardSet.of(judged, find_language("en")).measure(open_model("models/support"))
    array([1.])

    Attributes:
        name: of the set.
        task: queries, judgements, documents.
        checksum: of all of these: equal ones make figures comparable.
    """

    name: str
    task: ValidationTask
    checksum: str

    @classmethod
    def python(cls) -> GuardSet:
        """Return the built-in set, of the texts that ship with Python (:mod:`tardif.evaluation.python_texts`).

        Raises:
            DataError: this Python's library has no sources, or no docstrings.
        """
        return cls.of(_built_in(), find_language("en"))

    @classmethod
    def read(cls, folder: str | Path, language: Language, seed: int = 0, console: Console | None = None) -> GuardSet:
        """Read a user's own set.

        Args:
            folder: a judged set in BEIR layout, or another that :func:`tardif.data.judged.read_judged` reads.
            language: of the texts.
            seed: of the draw of queries and documents, if there are more than :data:`MOST_DOCUMENTS` documents.
            console: told what is used of it and what is not.

        Raises:
            DataError: it cannot be read, or has no documents.
        """
        return cls.of(_read(folder, console or Silent()), language, seed)

    @classmethod
    def of(cls, judged: JudgedSet, language: Language, seed: int = 0) -> GuardSet:
        """Return the guard set of a judged set, cut to :data:`MOST_DOCUMENTS` documents, the hardest by BM25."""
        task = bounded_task(judged, limit=MOST_DOCUMENTS, language=language, seed=seed)
        texts = {document.id: document.content for document in task.documents}
        return cls(judged.name, task, json_checksum([task.queries, task.qrels, texts]))

    def outcome(
        self, model: MultiVectorEncoder, console: Console, what: str, group: ProcessGroup | None = None
    ) -> Outcome:
        """Return each measure of each query, of a model as it is now. Several processes share the work, as in
        :meth:`tardif.training.validation.ValidationTask.outcome`."""
        return self.task.outcome(model, console, what, group)

    def measure(self, model: MultiVectorEncoder) -> NDArray[np.float64]:
        """Return the nDCG@10 of each query, ``[queries]``, in the order of ``task.queries``, of a model as it is now.

        Queries and documents are encoded once, in one process: about 27,000 tokens of the built-in set.
        """
        values = self.outcome(model, Silent(), "").values[DECIDES]
        return np.array([values[query] for query in self.task.queries], dtype=np.float64)


def _read(folder: str | Path, console: Console) -> JudgedSet:
    judged = read_judged(folder)
    if not judged.documents:
        raise DataError("has judgements and no documents: give a folder that holds both.", folder)
    for line in judged.report:
        console.say(line)
    return judged


def guard_sets(
    settings: TrainingSettings, language: Language, console: Console, trained: Iterable[str] = ()
) -> list[GuardSet]:
    """Return the sets that settings ask for, and say what they are, or why there is no built-in one.

    Args:
        settings: ``guards`` names them; the seed draws from large ones.
        language: of the training.
        console: where to say so.
        trained: the texts of the queries that are trained on. A guard's queries that are the same as one of them, or
            nearly so, are left out.

    Raises:
        DataError: a user's set cannot be read, or all its queries are trained on.
    """
    trained = list(trained)
    found = list(_guard_sets(settings, language, console, trained))
    for guard in found:
        console.say(f"Guard: {len(guard.task.queries)} foreign queries of {guard.name} over {guard.task.size()}.")
    return found


def _guard_sets(
    settings: TrainingSettings, language: Language, console: Console, trained: Sequence[str]
) -> Iterator[GuardSet]:
    for asked in settings.guards:
        if asked == AUTO_GUARD and language.code != "en":
            console.say(
                "What training costs elsewhere is not measured: the built-in queries are English (see --guard)."
            )
        elif asked in (AUTO_GUARD, PYTHON_GUARD):
            try:
                judged = _built_in()
                yield GuardSet.of(_foreign(judged, trained, console), find_language("en"))
            except DataError as error:
                console.say(f"What training costs elsewhere is not measured: {error}")
        else:
            judged = _read(asked, console)
            yield GuardSet.of(_foreign(judged, trained, console), language, settings.seed)


def _built_in() -> JudgedSet:
    found = python_texts()
    if found is None:
        raise DataError("This Python's standard library has no docstrings, so there are no foreign queries.")
    return found


def _foreign(judged: JudgedSet, trained: Sequence[str], console: Console) -> JudgedSet:
    """The set without the queries that are trained on, which would show what training gains, not what it costs."""
    texts = {f"t{number}": text for number, text in enumerate(trained)}
    texts |= {f"g{query}": text for query, text in judged.queries.items()}
    if len(texts) > LIMIT:
        console.say(
            f"Guard: queries of {judged.name} that are nearly the same as a training query were not looked for: there "
            f"are over {LIMIT} queries."
        )
    known = {
        member[1:]
        for group in groups_of(texts, near=True)
        if any(member.startswith("t") for member in group)
        for member in group
        if member.startswith("g")
    }
    if not known:
        return judged
    if len(known) == len(judged.queries):
        raise DataError(
            f"All {len(known)} queries of {judged.name} are training queries, or nearly the same as one, and "
            "nothing foreign is left to measure: give other queries (--guard, in Python guard=), or none (--guard "
            "none, in Python guard='none')."
        )
    console.say(
        f"Guard: {len(known)} of {len(judged.queries)} queries of {judged.name} are left out: they are training "
        "queries, or nearly the same as one."
    )
    return replace(judged, queries={query: text for query, text in judged.queries.items() if query not in known})

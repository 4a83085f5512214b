"""Refreshes: hard negatives mined again while training, with the model as it is then (ANCE: Xiong et al., ICLR 2021).

Negatives that were mined once become easy as the model learns. At each refresh the model itself encodes and searches
the corpus, and new negatives replace a share of the old ones.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tardif.data.synthetic import without_variants
from tardif.data.training_set import TRAIN, TrainingSet, read_examples, write_examples
from tardif.encoder.precision import computing
from tardif.errors import FolderError
from tardif.mining.late import LateSearcher
from tardif.mining.mine import mine
from tardif.mining.selection import Selection
from tardif.progress import Bar, Console
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import Language
from tardif.training.checkpoints import write_whole
from tardif.training.run_folder import RunFolder
from tardif.training.run_log import NEW_NEGATIVES
from tardif.training.settings import TrainingSettings
from tardif.training.whole import START_AGAIN
from tardif.types import Example

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.callbacks import RunCallback

# With this name RunFolder.sweep removes it after a killed process.
_VECTORS = ".refresh.partial"


class Refresher:
    """Mines with a model as it is now.

    Late interaction ranks the whole of a small corpus, or BM25's candidates in a larger one. The rules are those of
    :class:`~tardif.mining.selection.Selection` with its defaults.

    Args:
        model: what is trained.
        data: the training set.
        language: of BM25.
        settings: the seed, and the share of the negatives that are replaced.
        work: a folder, with a folder for the vectors in it while mining.
    """

    def __init__(
        self, model: MultiVectorEncoder, data: TrainingSet, language: Language, settings: TrainingSettings, work: Path
    ) -> None:
        self._model, self._settings = model, settings
        self._vectors = work / _VECTORS
        self._judged = data.qrels
        self._data = _to_be_mined(data)
        self._documents = without_variants(data.documents)
        # As many as the example with the most negatives has: any of them may be replaced.
        most = max((len(example.negative_ids) for example in data.examples), default=0)
        self._selection = Selection(negatives=max(Selection().negatives, most))
        self._lexical = cache(lambda: LexicalSearcher(self._documents, language))  # built for the first refresh

    def renew(self, examples: Sequence[Example], step: int, bar: Bar | None = None) -> list[Example]:
        """Return the examples, in their order, with a share of the hard negatives replaced.

        Examples with a teacher's scores stay as they are: what is mined here has no score.

        Args:
            examples: the present ones.
            step: of the training, for the draws: the same step and model give the same negatives.
            bar: where to show progress.

        Raises:
            FolderError: the vectors cannot be written.
        """
        console = _Noting(bar or Bar("", None, ""))
        shutil.rmtree(self._vectors, ignore_errors=True)
        try:
            with computing(self._settings.precision, self._model.device.type):
                searcher = LateSearcher(
                    self._model, self._documents, self._lexical, cache=self._vectors, console=console
                )
                with console.progress("Mining", len(self._data.query_ids(TRAIN)), "queries") as noted:
                    seed = self._settings.seed + step
                    done = mine(self._data, searcher, self._selection, seed=seed, advance=noted.advance)
                del searcher  # a mapped file cannot be removed everywhere
        finally:
            shutil.rmtree(self._vectors, ignore_errors=True)
        mined = {found.query_id: found.negative_ids for found in done.data.examples}
        return [self._mixed(example, mined) for example in examples]

    def _mixed(self, example: Example, mined: Mapping[str, Sequence[str]]) -> Example:
        """As many negatives as before: mined ones, then old ones, judged ones first.

        An example without any gets all that were mined.
        """
        if example.scores:
            return example
        found, judged = mined.get(example.query_id, ()), self._judged[example.query_id]
        count = len(example.negative_ids)
        share = max(round(count * self._settings.refresh_share), 1)
        new = list(found)[: share if count else self._selection.negatives]
        # Judged negatives have relevance 0 or below; mined ones are not in the judgements.
        old = sorted(example.negative_ids, key=lambda identity: judged.get(identity, 1) > 0)
        # Without a limit an example that had none takes all: [: None] is the whole list.
        return replace(example, negative_ids=tuple(dict.fromkeys([*new, *old]))[: count or None])


class RefreshCallback(TrainerCallback):
    """Refreshes the negatives of a run between two steps.

    It must be called after :class:`~tardif.training.callbacks.RunCallback`, which decides on every process whether the
    run ends at a step: at its last one there is no refresh. A run that was interrupted there has it on resumption.

    Args:
        refresher: used by rank 0 alone; the others receive what it found.
        every: steps from one refresh to the next.
        run_callback: has the state of the run.
    """

    def __init__(self, refresher: Refresher, every: int, run_callback: RunCallback) -> None:
        self.refresher, self.every = refresher, every
        self.run_callback, self.context = run_callback, run_callback.context

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make up for a refresh that an interruption prevented."""
        step = state.global_step
        if step and self._is_due(step) and step not in self.run_callback.run_state.refreshed_at:
            self._refresh(step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refresh where it is due; a checkpoint of this step is saved afterwards."""
        if self._is_due(state.global_step) and not control.should_training_stop:
            logs = control.should_log
            self._refresh(state.global_step)
            control.should_log = logs  # logging in the refresh resets it, on rank 0 alone

    def _is_due(self, step: int) -> bool:
        return step % self.every == 0

    def _refresh(self, step: int) -> None:
        began, run_state = time.monotonic(), self.run_callback.run_state
        collator = self.context.collator
        collator.data = replace(collator.data, examples=self.context.group.on_main(lambda: self._mined(step)))
        run_state.refreshed_at = [*run_state.refreshed_at, step]
        run_state.seconds_refreshing += time.monotonic() - began
        run_state.seconds = self.run_callback.seconds()

    def _mined(self, step: int) -> list[Example]:
        """Mine, and keep the new examples for a run that resumes from here."""
        old = self.context.collator.data.examples
        examples = self.refresher.renew(old, step, self.run_callback.bar)
        write_whole(self.context.folder.negatives(step), lambda aside: write_examples(aside, examples))
        new = sum(len(set(a.negative_ids).difference(b.negative_ids)) for a, b in zip(examples, old, strict=True))
        total = sum(len(example.negative_ids) for example in examples)
        self.context.console.say(f"  step {step}: hard negatives mined again, {new} of {total} are new")
        self.run_callback.report({NEW_NEGATIVES: new})
        return examples


def examples_of(folder: RunFolder, step: int) -> list[Example]:
    """Read the examples that the refresh of a step made.

    Raises:
        FolderError: they cannot be read.
    """
    import pyarrow as pa

    try:
        return read_examples(folder.negatives(step))
    except (OSError, pa.ArrowException) as error:
        raise FolderError(f"{folder.negatives(step)} cannot be read ({error}): {START_AGAIN}.") from error


def _to_be_mined(data: TrainingSet) -> TrainingSet:
    """The set to mine: queries that take new negatives, without judged negatives.

    Mining would take judged negatives first and leave no room; they are among the old ones anyway.
    """
    wanted = {example.query_id for example in data.examples if not example.scores}
    return replace(
        data,
        examples=(),
        qrels={
            query: {document: relevance for document, relevance in judged.items() if relevance > 0}
            for query, judged in data.qrels.items()
        },
        split={query: TRAIN if query in wanted else "" for query in data.split},
    )


class _Noting(Console):
    """Shows progress as a note on a bar that is shown already: two bars cannot be drawn at once."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(quiet=True)
        self._bar = bar

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Show progress as a note on the other bar."""
        yield _Note(what, total, unit, self._bar)


class _Note(Bar):
    def __init__(self, what: str, total: int | None, unit: str, bar: Bar) -> None:
        super().__init__(what, total, unit)
        self._bar = bar

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self._bar.advance(0, self.line(note))

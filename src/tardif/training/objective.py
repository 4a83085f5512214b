"""The training objective: encode a batch, score it, and return the loss that sentence-transformers' trainer minimises.

Encoder and loss never meet: the loss is a function of token vectors (:mod:`tardif.losses` over :mod:`tardif.scoring`),
and its gradients by them enter the encoder through :mod:`tardif.training.gradcache`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from tardif.encoder.encoding import Block, Encoded
from tardif.losses import contrastive, distillation, margin
from tardif.scoring import LOWEST, TokenVectors, fuses, maxsim, mean_maxsim, narrow, take, xtr
from tardif.training.base_pull import EVERY, FrozenBase, is_pulled
from tardif.training.distributed import LossColumns, gather_columns, gather_vectors, processes
from tardif.training.gradcache import Replay, connect, encode_all
from tardif.training.length_pull import Drawn, LengthPull, moved_by, reads_lengths
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


class Objective(nn.Module):
    """Encodes a batch's sub-batches, scores every query with every column, and applies the losses.

    On several processes the columns are those of the global batch, and the gradients, averaged over the processes, are
    those of one process on it. A process may have an empty batch (:class:`~tardif.training.batches.Collator` of no
    rows); it still takes part in every collective.

    Args:
        model: what is trained. The attribute must keep its name: the trainer puts the DistributedDataParallel wrapper
            in its place.
        settings: loss, scoring, widths and pooling.
        base: what the model began as, if it is pulled towards that by ``settings.base_pull`` or ``length_pull``.
        lengths: draws the texts of the pull by ``settings.length_pull``, which needs ``base``.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        settings: TrainingSettings | None = None,
        base: FrozenBase | None = None,
        lengths: LengthPull | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.settings = settings or TrainingSettings()
        self.pooling: Any = None
        if self.settings.pool_factor > 1:
            from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

            self.pooling = HierarchicalTokenPooling(pool_factor=self.settings.pool_factor)
        # A teacher's losses need only an example's own documents, unless XTR lets all documents compete for tokens.
        self.own_columns = "contrastive" not in self.settings.terms and self.settings.scoring != "xtr"
        self._last: Tensor | None = None
        self._base, self._lengths = base, lengths
        # The step, and which of its batches is next.
        self._step, self._turn = 0, 0

    @property
    def last(self) -> float:
        """The loss of the last global batch, without the pull. Reading it waits for the device."""
        return float("nan") if self._last is None else float(self._last)

    def begin_step(self, step: int) -> None:
        """Take the number of the step, which decides what pulls; every process is at the same step."""
        self._step, self._turn = step, 0

    def forward(self, batch: Mapping[str, Any], labels: Tensor | None = None) -> Tensor:
        """Return the mean loss of a batch, as :class:`~tardif.training.batches.Collator` makes it.

        The gradients by the token vectors are computed here, those by the weights in the backward pass. They are those
        of the loss and the pull; the value is that of the loss alone, so that steps with and without can be compared.
        """
        blocks = [Block(features, "query") for features in batch["queries"]]
        queries = len(blocks)
        blocks += [Block(features, "document") for features in batch["documents"]]
        own_blocks, drawn = len(blocks), self._draw()
        # Queries first, then documents, then what was drawn: `queries` and `own_blocks` split the leaves below.
        blocks += drawn.blocks if drawn else []
        replay = Replay(self.model, blocks) if self.settings.grad_cache and torch.is_grad_enabled() else None
        encoded = replay.encode_all() if replay else encode_all(self.model, blocks)
        dtype = self._compared_in(encoded[0].vectors)
        before = self._encoded_before(blocks[:own_blocks], queries, dtype) if self._is_pulled() else None
        read = blocks[:queries] + blocks[own_blocks:]
        read_before = self._encoded_before(read, queries, dtype) if drawn else None
        # Outside of autocast: sums of MaxSim and softmax need float32.
        with torch.autocast(encoded[0].vectors.device.type, enabled=False):
            # Detached copies are the loss's inputs: its graph ends there, and the encoder's graph is used once.
            leaves = [part.vectors.detach().to(dtype).requires_grad_(torch.is_grad_enabled()) for part in encoded]
            own = _packed(leaves, encoded, 0, queries), _packed(leaves, encoded, queries, own_blocks)
            columns = gather_columns(batch, len(own[1].lengths), own=self.own_columns)
            # Weighted by this process's queries, so that the mean over processes is the mean over all queries.
            part = len(batch["positives"]) * processes() / columns.queries
            loss = part * self._loss(*own, columns, batch)
            self._last = _mean_over_processes(loss)
            if not torch.is_grad_enabled():
                return loss
            total = loss if before is None else loss + part * self._pull(*own, *before, columns, batch)
            if drawn and read_before:
                texts = _packed(leaves, encoded, own_blocks)
                total = total + part * self._pull_lengths((own[0], texts), read_before, drawn.places, batch)
            gradients = torch.autograd.grad(total, leaves)
        if replay:
            return replay.connect(loss, gradients)
        return connect(loss, [part.vectors for part in encoded], gradients)

    def _is_pulled(self) -> bool:
        return bool(self._base and self.settings.base_pull) and is_pulled(self._step) and torch.is_grad_enabled()

    def _draw(self) -> Drawn | None:
        """Draw what the pull at many lengths reads beside the next batch, if this step has it."""
        if self._lengths is None or not reads_lengths(self._step) or not torch.is_grad_enabled():
            return None
        self._turn += 1
        return self._lengths.draw(self._step, self._turn - 1)

    def _encoded_before(
        self, blocks: Sequence[Block], queries: int, dtype: torch.dtype
    ) -> tuple[TokenVectors, TokenVectors]:
        """Encode a batch's queries and documents with the base."""
        assert self._base is not None
        encoded = self._base.encode(blocks)
        vectors = [part.vectors.to(dtype) for part in encoded]
        return _packed(vectors, encoded, 0, queries), _packed(vectors, encoded, queries)

    def _pull(
        self,
        queries: TokenVectors,
        documents: TokenVectors,
        queries_before: TokenVectors,
        documents_before: TokenVectors,
        columns: LossColumns,
        batch: Mapping[str, Any],
    ) -> Tensor:
        """Return how far the model's distribution over the columns is from the base's, weighted.

        A row counts by the probability that the base gives its positive: what the base has wrong need not be kept.
        """
        found, found_before = gather_vectors(self._pooled(documents)), gather_vectors(self._pooled(documents_before))
        # Zero times the sums: as in _loss.
        nothing = 0.0 * (queries.vectors.sum() + found.vectors.sum())
        if not len(batch["positives"]):
            return nothing
        with torch.no_grad():
            teacher = self._scores(queries_before, found_before, columns, batch)  # [Q, C]
            positives = (batch["positives"] + columns.first_column).unsqueeze(1)  # [Q] -> [Q, 1]
            right = (teacher / self.settings.temperature).softmax(dim=1).gather(1, positives).squeeze(1)  # [Q]
        scores = self._scores(queries, found, columns, batch)  # [Q, C]
        far = distillation(scores, teacher, temperature=self.settings.temperature, normalise=False, weights=right)
        weight = (self.settings.base_pull or 0.0) * EVERY
        return nothing + weight * far

    def _pull_lengths(
        self,
        read: tuple[TokenVectors, TokenVectors],
        before: tuple[TokenVectors, TokenVectors],
        places: Sequence[int],
        batch: Mapping[str, Any],
    ) -> Tensor:
        """Return how far the scores of the batch's queries with what was drawn are from the base's, weighted.

        Args:
            read: the queries and the texts that this process drew; those of all processes are scored.
            before: the same, encoded by the base.
            places: the place of each text among the distinct ones.
            batch: the batch.
        """
        score = maxsim if self.settings.scoring == "maxsim" else mean_maxsim

        def scored(queries: TokenVectors, texts: TokenVectors) -> Tensor:
            found = score(queries, texts) / self.settings.temperature  # [distinct queries, texts]
            return found[batch["query_rows"]]  # [distinct queries, texts] -> [Q, texts]

        texts, texts_before = (gather_vectors(self._pooled(take(one[1], places))) for one in (read, before))
        # Zero times the sums: as in _loss.
        nothing = 0.0 * (read[0].vectors.sum() + texts.vectors.sum())
        if not len(batch["positives"]):
            return nothing
        with torch.no_grad():
            teacher = scored(before[0], texts_before)
        weight = (self.settings.length_pull or 0.0) * EVERY
        return nothing + weight * moved_by(scored(read[0], texts), teacher)

    def _compared_in(self, vectors: Tensor) -> torch.dtype:
        """Return the type in which token vectors are scored: float32 or wider; in mixed precision the autocast type,
        where fused kernels score it with float32 sums."""
        device = vectors.device.type
        mixed = torch.is_autocast_enabled(device) if torch.amp.is_autocast_available(device) else False
        dtype = torch.get_autocast_dtype(device) if mixed else vectors.dtype
        if self.settings.scoring != "xtr" and fuses(vectors[:0].to(dtype)):
            return dtype
        return torch.promote_types(vectors.dtype, torch.float32)

    def _loss(
        self, queries: TokenVectors, documents: TokenVectors, columns: LossColumns, batch: Mapping[str, Any]
    ) -> Tensor:
        """Return the loss as a function of token vectors: the weighted sum over widths and losses."""
        total = queries.vectors.new_zeros(())
        for width, weight in (self.settings.widths or {documents.vectors.shape[1]: 1.0}).items():
            asked, found = narrow(queries, width), self._pooled(narrow(documents, width))
            found = found if self.own_columns else gather_vectors(found)
            # Zero times the sums: a process without queries must still take part in the backward collectives.
            total = total + 0.0 * (asked.vectors.sum() + found.vectors.sum())
            if len(batch["positives"]):
                total = total + weight * self._weighted(self._scores(asked, found, columns, batch), columns, batch)
        return total

    def _pooled(self, documents: TokenVectors) -> TokenVectors:
        if self.pooling is None:
            return documents
        parts = self.pooling.pool(list(torch.split(documents.vectors, list(documents.lengths))))
        return TokenVectors(torch.cat(parts), [len(part) for part in parts])

    def _scores(
        self, queries: TokenVectors, documents: TokenVectors, columns: LossColumns, batch: Mapping[str, Any]
    ) -> Tensor:
        """Score the batch's rows with the columns: ``[Q, C]``."""
        if self.settings.scoring == "xtr":
            # Columns compete for the tokens that a query token retrieves, so a shared document is repeated.
            scores = xtr(queries, take(documents, columns.rows.tolist()), self.settings.xtr_k)
            return scores[batch["query_rows"]]  # [distinct queries, C] -> [Q, C]
        score = mean_maxsim if self.settings.scoring == "mean" else maxsim
        scores = score(queries, documents)  # [distinct queries, distinct documents]
        return scores[batch["query_rows"]][:, columns.rows]  # [Q, C]

    def _weighted(self, scores: Tensor, columns: LossColumns, batch: Mapping[str, Any]) -> Tensor:
        """Return the weighted sum of the losses, each a mean over the batch's rows."""
        settings, found = self.settings, []
        for name, weight in settings.terms.items():
            if name == "contrastive":
                ignored = ignored_columns(columns, batch, other_negatives=settings.other_negatives)
                positives = batch["positives"] + columns.first_column
                loss = contrastive(scores, positives, temperature=settings.temperature, ignored=ignored)
            else:
                own, teacher, given = _taught(scores, columns, batch)
                if name == "margin":
                    loss = margin(own, teacher, given=given)
                else:
                    temperature, normalise = settings.distillation_temperature, settings.normalise_scores
                    loss = distillation(own, teacher, given=given, temperature=temperature, normalise=normalise)
            found.append(weight * loss)
        return torch.stack(found).sum()


def ignored_columns(columns: LossColumns, batch: Mapping[str, Any], *, other_negatives: bool = True) -> Tensor:
    """Return which columns are not negatives of which rows: ``[Q, C]``, true where ignored.

    A column is ignored if its text is known to answer the row's query, if the batch lists such texts; and without
    ``other_negatives`` if it is a hard negative of another row.
    """
    count = len(batch["positives"])
    same = batch["known_keys"].unsqueeze(1) == columns.keys  # [K, C]
    hits = torch.zeros((count, len(columns.keys)), dtype=torch.int32, device=columns.keys.device)
    ignored = hits.index_add_(0, batch["known_rows"], same.int()) > 0  # [K, C] summed by row -> [Q, C]
    if not other_negatives:
        mine = torch.arange(count, device=columns.owners.device) + columns.first_query
        ignored |= ~columns.positive & (columns.owners != mine.unsqueeze(1))
    return ignored


def _taught(scores: Tensor, columns: LossColumns, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each row's own columns, the student's scores, the teacher's, and which have both; all ``[Q, n]``."""
    candidates = batch["candidates"]
    # The padding of `candidates` is -1, which no gather takes; `given` leaves these places out.
    own = scores.gather(1, candidates.clamp(min=0) + columns.first_column)  # [Q, C] -> [Q, n]
    teacher = batch["teacher"]
    # A document without a scoreable token has the score LOWEST, which is no score to compare.
    given = (candidates >= 0) & ~teacher.isnan() & (own > LOWEST)
    return own, teacher.nan_to_num(), given


def _packed(leaves: Sequence[Tensor], encoded: Sequence[Encoded], first: int, last: int | None = None) -> TokenVectors:
    lengths = [length for part in encoded[first:last] for length in part.lengths]
    return TokenVectors(torch.cat(list(leaves[first:last])), lengths)


def _mean_over_processes(loss: Tensor) -> Tensor:
    mean = loss.detach().clone()
    if processes() > 1:
        distributed.all_reduce(mean)
        mean /= processes()
    return mean

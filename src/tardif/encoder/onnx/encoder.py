"""Encoding with onnxruntime, so that a search does not import PyTorch; and the places of texts' tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tardif.batching import batched
from tardif.checks import check_list
from tardif.devices import core_count
from tardif.encoder.config_checks import check_tokenizer
from tardif.encoder.onnx.folder import GRAPH, INPUTS, OUTPUT, TOKENIZER, QueryForm, read_form
from tardif.encoder.onnx.graph import check_graph
from tardif.encoder.onnx.runtime import runtime
from tardif.encoder.spans import ReadText, as_unicode, read_text
from tardif.errors import FolderError, SettingError, first_line, is_failure
from tardif.folders import expanded
from tardif.forks import ForkAware, register

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Tokens of a batch, padding included. It suits a CPU's caches, and bounds the memory.
BATCH_TOKENS = 4096
Task = Literal["query", "document"]
# Characters that the tokenizer reads at a time (or one text): its records are much larger than the ids.
_CHARACTERS = 1 << 20
# Of a long document only its beginning is tokenised: this many characters for each token that the model reads, and more
# if they hold fewer than so many tokens beyond these. What lies that far behind changes no token.
_TOKEN_CHARACTERS, _SPARE = 16, 64


class Rows(NamedTuple):
    """A batch of texts, all ``[texts, tokens]``: token ids, attention mask, and which tokens have a vector."""

    ids: NDArray[np.int64]
    attended: NDArray[np.int64]
    scored: NDArray[np.bool_]


class LightEncoder(ForkAware):
    """A late-interaction model exported by :mod:`tardif.encoder.onnx.convert`: one graph reads queries and documents.

    >>> from tardif.encoder.onnx.folder import exported_encoder
    >>> light = LightEncoder(exported_encoder("support.index"))
    >>> vectors, lengths = light.encode_documents(["The moon makes the tides.", ""])
    >>> len(vectors) == lengths[0], lengths[1]
    (True, 0)
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        """Open an exported query encoder.

        Args:
            folder: the exported folder.
            threads: the number of computing threads; by default all cores that this process may use.

        Raises:
            FolderError: a file is missing, damaged, of another kind, or from a newer version.
            SettingError: ``threads`` is below 1.
        """
        if threads is not None and threads < 1:
            raise SettingError(f"threads={threads}: give 1 or more.")
        self.folder = expanded(folder)
        self.form: QueryForm = read_form(self.folder)
        self._tokenizer = self._open_tokenizer(self.form.prompt, self.form.max_tokens)
        self._documents: Tokenizer | None = None
        self._whole: Tokenizer | None = None
        self._threads = threads or core_count()
        self._session: Any = self._open_graph()
        register(self)

    def after_fork(self, *, in_child: bool) -> None:
        """In a child, have the graph opened again, with threads of its own."""
        if in_child:
            # Kept, not closed: closing it would wait for the parent's threads for ever.
            self._parents, self._session = self._session, None

    @property
    def dim(self) -> int:
        """The width of the token vectors."""
        return self.form.dim

    def encode_queries(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Encode queries. The token vectors equal PyTorch's up to rounding.

        Args:
            texts: any number of queries that fits into memory with their vectors. Lone surrogates are read as question
                marks.

        Returns:
            Packed unit vectors ``[tokens, dim]``, and the number of rows of each query, 0 for a blank one.

        Raises:
            SettingError: ``texts`` is a single text.
        """
        return self._encode(texts, "query")

    def encode_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Encode documents; arguments, result and errors as for :meth:`encode_queries`."""
        return self._encode(texts, "document")

    def _encode(self, texts: Sequence[str], task: Task) -> tuple[NDArray[np.float32], list[int]]:
        texts = check_list(texts, "texts", SettingError)
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32), []
        ids = self.token_ids(texts, task)
        found: list[NDArray[np.float32]] = [np.zeros((0, self.dim), dtype=np.float32)] * len(texts)
        read = [place for place, text in enumerate(texts) if not self._is_blank(text, ids[place], task)]
        for numbers in self._batches([len(ids[place]) for place in read], task):
            places = [read[number] for number in numbers]
            rows = self.rows([ids[place] for place in places], task)
            vectors = self._run(rows)  # [texts, tokens, dim]
            for place, row, scored in zip(places, vectors, rows.scored, strict=True):
                found[place] = row[scored]
        return np.concatenate(found), [len(vectors) for vectors in found]

    def _is_blank(self, text: str, ids: Sequence[int], task: str) -> bool:
        return self.form.blanks is not None and self.form.blanks.holds(as_unicode(text), ids, task)

    def read(self, text: str, task: Task) -> ReadText:
        """Return the tokens of a text that have vectors, in the vectors' order, with their places in the text.

        Args:
            text: the text. Lone surrogates are read as question marks.
            task: whether it is a query or a document.

        Raises:
            FolderError: the tokenizer is damaged.
        """
        text, expansion = as_unicode(text), self.form.expansion
        if task == "document":
            prompt, encoding = self.form.document.prompt, self.document_encoding(text)
            scored = np.flatnonzero(~np.isin(encoding.ids, self.form.document.skipped_ids))
        else:
            prompt, encoding = self.form.prompt, self._encoding(self._tokenizer, self.form.prompt + text)
            scored = np.flatnonzero(self.rows([encoding.ids]).scored[0])
        if self._is_blank(text, encoding.ids, task):
            scored = scored[:0]
        filler = "" if expansion is None else self._tokenizer.id_to_token(expansion.token_id) or ""
        return read_text(encoding, text, prompt, scored.tolist(), filler)

    def document_encoding(self, text: str) -> Encoding:
        """Return a document's tokens as the model reads them, with the marker and cut at its length."""
        tokenizer, prompt = self._reading("document")
        return self._encoding(tokenizer, self._beginning(prompt + as_unicode(text), "document"))

    def whole_tokenizer(self) -> Tokenizer:
        """Return the tokenizer without any limit, to count the tokens that the model does not read."""
        if self._whole is None:
            self._whole = self._open_tokenizer(self.form.document.prompt, None)
        return self._whole

    def _reading(self, task: Task) -> tuple[Tokenizer, str]:
        """The tokenizer and the prompt of a task."""
        if task == "query":
            return self._tokenizer, self.form.prompt
        if self._documents is None:
            # Opened only where documents are read: the two are cut at different lengths.
            self._documents = self._open_tokenizer(self.form.document.prompt, self.form.document.max_tokens)
        return self._documents, self.form.document.prompt

    def _encoding(self, tokenizer: Tokenizer, text: str) -> Encoding:
        try:
            return tokenizer.encode(text)
        except BaseException as error:  # a damaged tokenizer may open, and then panic on a text
            if not is_failure(error):
                raise
            raise self._unusable(TOKENIZER, "cannot read a text", error) from error

    def _beginning(self, text: str, task: Task) -> str:
        """Return what must be tokenised of a document with its prompt: the whole if it is short."""
        reach = self.form.document.max_tokens
        size = reach * _TOKEN_CHARACTERS
        if task == "query" or self.form.truncation_side == "left":
            return text
        while size < len(text):
            # At white space, where words end for every tokenizer; a text without any is tokenised whole.
            end = next((at for at in range(size, size // 2, -1) if text[at].isspace()), 0)
            if end:
                over = self._encoding(self._reading(task)[0], text[:end]).overflowing
                if sum(len(rest.ids) for rest in over) > _SPARE:
                    return text[:end]
            size *= 4
        return text

    def token_ids(self, texts: Sequence[str], task: Task = "query") -> list[list[int]]:
        """Return each text's token ids, with the marker and cut at the cap, before expansion."""
        texts = check_list(texts, "texts", SettingError)
        tokenizer, prompt = self._reading(task)
        found: list[list[int]] = []
        given = [self._beginning(prompt + as_unicode(text), task) for text in texts]
        for part in batched(given, _CHARACTERS, len):
            try:
                found += [encoding.ids for encoding in tokenizer.encode_batch_fast(part)]
            except BaseException as error:  # a damaged tokenizer may open, and then panic on a text
                if not is_failure(error):
                    raise
                raise self._unusable(TOKENIZER, "cannot read a text", error) from error
        return found

    def rows(self, ids: Sequence[Sequence[int]], task: Task = "query") -> Rows:
        """Return texts' ids as one batch, padded to the longest; queries are expanded to the expansion's length."""
        expansion = self.form.expansion if task == "query" else None
        skipped = self.form.skipped_ids if task == "query" else self.form.document.skipped_ids
        least = expansion.length if expansion else 1
        width = max(least, *(len(row) for row in ids))
        padded = np.full((len(ids), width), self.form.pad_id, dtype=np.int64)  # [texts, tokens]
        attended = np.zeros((len(ids), width), dtype=np.int64)
        for number, row in enumerate(ids):
            padded[number, : len(row)] = row
            attended[number, : len(row)] = 1
        scored = attended.astype(bool)
        if expansion:
            filled = ~scored & (np.arange(width) < expansion.length)  # [queries, tokens]
            padded[filled] = expansion.token_id
            # ColBERT's expansion tokens are scored, but the others do not attend to them.
            if expansion.attend:
                attended[filled] = 1
            if expansion.scored:
                scored |= filled
        if skipped:
            scored &= ~np.isin(padded, skipped)
        return Rows(padded, attended, scored)

    def _batches(self, lengths: Sequence[int], task: Task) -> Iterator[list[int]]:
        """Yield the places of texts of similar length, shortest first, within the token budget."""
        least = self.form.expansion.length if self.form.expansion and task == "query" else 1
        batch: list[int] = []
        for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
            # Texts come by length, so a batch is as wide as its last one.
            if batch and (len(batch) + 1) * max(least, lengths[place]) > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _run(self, rows: Rows) -> NDArray[np.float32]:
        if self._session is None:
            self._session = self._open_graph()
        try:
            (vectors,) = self._session.run([OUTPUT], dict(zip(INPUTS, (rows.ids, rows.attended), strict=True)))
        except Exception as error:  # the library's errors have no common parent
            raise self._unusable(GRAPH, "cannot compute", error) from error
        return np.asarray(vectors, dtype=np.float32)

    def _open_tokenizer(self, prompt: str, max_tokens: int | None) -> Tokenizer:
        from tokenizers import Tokenizer

        path = self.folder / TOKENIZER
        try:
            check_tokenizer(path)
            tokenizer: Tokenizer = Tokenizer.from_file(str(path))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            if max_tokens is not None:
                tokenizer.enable_truncation(max_tokens, direction=self.form.truncation_side)
            tokenizer.encode_special_tokens = self.form.split_special_tokens
            tokenizer.encode_batch_fast([prompt])
        except BaseException as error:  # the library raises nothing narrower, and panics
            if not is_failure(error):
                raise
            raise self._unusable(TOKENIZER, "cannot be opened", error) from error
        return tokenizer

    def _unusable(self, name: str, how: str, error: BaseException) -> FolderError:
        return FolderError(f"{self.folder / name} {how} ({first_line(error)}): export the query encoder again.")

    def _open_graph(self) -> Any:
        onnxruntime = runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        # Operators of one query run one after the other: only the products inside them are shared out.
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # everything that matters is raised as an error
        options.use_deterministic_compute = True
        # Waiting threads must not spin: training in another process may need the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = self.folder / GRAPH
        try:
            check_graph(path)
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            inputs = {value.name for value in session.get_inputs()}
            outputs = {value.name: value.shape[-1] for value in session.get_outputs()}
        except Exception as error:  # the library's errors have no common parent
            raise self._unusable(GRAPH, "cannot be opened", error) from error
        if inputs != set(INPUTS) or outputs.get(OUTPUT) != self.dim:
            raise FolderError(f"{path} is not the graph of {self.folder}: export the query encoder again.")
        return session

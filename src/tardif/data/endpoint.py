"""Queries for documents from any OpenAI-compatible chat endpoint: cached, resumable, capped.

Nothing is sent anywhere unless an :class:`EndpointWriter` is made with a URL. Asking a language model
for the queries that a passage answers is the recipe of InPars (Bonifacio et al., SIGIR 2022) and
Promptagator (Dai et al., ICLR 2023).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.data.answers import AnswerCache, Cap, Spending
from tardif.data.chat import ChatClient
from tardif.data.synthesis.result import KindCount, SynthesisResult, SyntheticPair, whole_of
from tardif.data.synthesis.words import count_words
from tardif.data.text import normalise
from tardif.errors import SettingError
from tardif.types import Document

KIND = "endpoint"
PROMPT = (
    "Write {count} different search queries that a person could type and that the passage below answers. "
    "Write in the passage's language, do not copy its sentences, and do not mention the passage. "
    "Answer with a JSON list of strings and nothing else.\n\nPassage:\n{passage}"
)

MALFORMED = "malformed answer"
LENGTH = "too short or long"
COPIED = "copied from the passage"
DUPLICATE = "equal to another query"

_LONGEST_QUERY = 40
_MEMBERS = re.compile(r"\[.*\]", re.DOTALL)
_BYTES_PER_TOKEN = 3  # English has about four; too many estimated keeps on the safe side of a cap


@dataclass(frozen=True)
class EndpointResult(SynthesisResult):
    """Queries that an endpoint wrote.

    Attributes:
        spent: requests and tokens in all, earlier runs with the same cache among them.
        asked: requests of this run.
        capped: documents left out because the cap was reached.
        summary: the spending as a line for a reader.
    """

    spent: Spending = field(default_factory=Spending)
    asked: int = 0
    capped: int = 0
    summary: str = ""

    @property
    def report(self) -> list[str]:
        """Lines for a reader."""
        return [*super().report, self.summary]


class EndpointWriter:
    """Asks a chat endpoint for the queries that documents answer.

    Every answer is appended to the cache before it is used, under a hash of all that was asked. A run
    that was interrupted, or stopped by its cap, resumes there, and pays for no answer twice. A cap is
    kept by reserving the most that a request can cost before it is sent; where the endpoint does not
    count its tokens, they are estimated from the bytes. Redirects are not followed, so the key goes to
    no other host; it is written nowhere.

    Args:
        url: the API's base (``https://host/v1``) or its full ``.../chat/completions``.
        model: the model's name there.
        cache: a JSONL file of the answers.
        api_key_env: the environment variable that holds the key; unset or empty, none is sent.
        prompt: with ``{passage}`` and, if you like, ``{count}``.
        count: queries to ask for, per document.
        max_requests: cap on the requests answered.
        max_tokens: cap on the tokens read and written together.
        max_cost: cap on the cost, at the prices given.
        price_in: price of a million tokens read.
        price_out: price of a million tokens written.
        answer_tokens: the longest answer, as ``max_tokens`` of a request.
        passage_words: how much of a document is sent.
        temperature: of the model's draws.
        workers: requests at once.
        timeout: seconds to wait for an answer.
        tries: how often a request is sent while the endpoint is busy or failing (429, 5xx, no connection).
        backoff: seconds before the second try; doubled every time, unless the endpoint says how long.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        cache: str | Path,
        api_key_env: str = "OPENAI_API_KEY",
        prompt: str = PROMPT,
        count: int = 2,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        answer_tokens: int = 200,
        passage_words: int = 300,
        temperature: float = 0.7,
        workers: int = 4,
        timeout: float = 60.0,
        tries: int = 5,
        backoff: float = 1.0,
    ) -> None:
        if "{passage}" not in prompt:
            raise SettingError("The prompt must hold {passage}, where the document's text goes.")
        for name, value in (("count", count), ("answer_tokens", answer_tokens), ("workers", workers), ("tries", tries)):
            if value < 1:
                raise SettingError(f"{name}={value}: give 1 or more.")
        self.cap = Cap(max_requests, max_tokens, max_cost, price_in, price_out)
        self.cap.check()
        self._client = ChatClient(url, api_key_env, timeout, tries, backoff)
        self._settings = {"model": model, "max_tokens": answer_tokens, "temperature": temperature}
        self._prompt = prompt
        self._count = count
        self._words = passage_words
        self._answer_tokens = answer_tokens
        self._workers = workers
        self._cache = Path(cache).expanduser()

    def write(self, documents: Iterable[Document]) -> EndpointResult:
        """Ask for queries, document by document, until all have some or the cap is reached.

        The positive of a query is the document itself. Answers that cannot be read are counted, and cost
        like others.

        Raises:
            DataError: the endpoint keeps failing, or the cache cannot be read or written. The answers so
                far are in the cache.
            SettingError: the endpoint refuses the request: wrong key, model or address.
        """
        count = KindCount()
        pairs: list[SyntheticPair] = []
        seen: set[str] = set()
        self._client.stop.clear()
        with AnswerCache(self._cache) as cache:
            before = cache.spent.requests
            capped = 0
            for document, answer in self._answers(documents, cache):
                if answer is None:
                    capped += 1
                else:
                    pairs += self._pairs(document, answer, count, seen)
            spent = cache.spent
        asked = spent.requests - before
        return EndpointResult(pairs, {KIND: count}, 0, KIND, spent, asked, capped, self._summary(spent, asked, capped))

    def _answers(self, documents: Iterable[Document], cache: AnswerCache) -> list[tuple[Document, str | None]]:
        """Each document with its answer, in the documents' order; None where the cap was reached before."""
        found: list[tuple[Document, str]] = []
        running: set[Future[None]] = set()
        sent: set[str] = set()
        closed = False
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for document in documents:
                    body = self._body(document)
                    key = _key(body)
                    found.append((document, key))
                    if closed or key in cache.answers or key in sent or not document.content.strip():
                        continue
                    while len(running) >= 2 * self._workers:
                        running = _settle(running)
                    closed = not cache.reserve(_expected(body, self._answer_tokens), self.cap)
                    # What is reserved and not used comes free again when the answers are in.
                    while closed and running:
                        running = _settle(running)
                        closed = not cache.reserve(_expected(body, self._answer_tokens), self.cap)
                    if not closed:
                        sent.add(key)
                        running.add(pool.submit(self._ask, key, body, cache))
                while running:
                    running = _settle(running)
            except BaseException:
                # A failure, or the user's Ctrl-C: what is under way ends and is kept, nothing new begins.
                self._client.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return [(document, cache.answers.get(key)) for document, key in found if document.content.strip()]

    def _ask(self, key: str, body: Mapping[str, Any], cache: AnswerCache) -> None:
        if self._client.stop.is_set():  # another request failed for good
            return
        reply = self._client.post(body)
        cache.add(key, _content(reply), *_usage(reply, body), reserved=_expected(body, self._answer_tokens))

    def _body(self, document: Document) -> dict[str, Any]:
        passage = _shorten(document.content, self._words)
        # Not str.format: a prompt or a passage may hold braces of its own.
        text = self._prompt.replace("{count}", str(self._count)).replace("{passage}", passage)
        return {**self._settings, "messages": [{"role": "user", "content": text}]}

    def _pairs(self, document: Document, answer: str, count: KindCount, seen: set[str]) -> list[SyntheticPair]:
        queries = read_queries(answer)
        if not queries:
            count.made += 1
            count.dropped[MALFORMED] += 1
        content = normalise(document.content)
        found = []
        for query in queries:
            count.made += 1
            fault = _fault(query, content, seen)
            if fault:
                count.dropped[fault] += 1
                continue
            count.kept += 1
            seen.add(normalise(query))
            found.append(SyntheticPair(query, KIND, document.id, document.id, whole_of(document)))
        return found

    def _summary(self, spent: Spending, asked: int, capped: int) -> str:
        cost = f", {spent.cost(self.cap):.4f} at the prices given" if self.cap.price_in + self.cap.price_out else ""
        left = f"; {capped} documents left out, the cap is reached: raise it to go on" if capped else ""
        return (
            f"{KIND}: {asked} requests in this run, {spent.requests} in all with "
            f"{spent.read} tokens read and {spent.written} written{cost}{left}"
        )


def read_queries(answer: str) -> list[str]:
    """The queries in an answer: a JSON list of strings, bare or inside other text; else nothing.

    Lines of prose are not taken for queries: a refusal would become training data.
    """
    match = _MEMBERS.search(answer)
    try:
        found = json.loads(match.group()) if match else None
    except ValueError:
        return []
    if not isinstance(found, list) or not all(isinstance(query, str) for query in found):
        return []
    return [" ".join(query.split()) for query in found if query.strip()]


def _settle(running: set[Future[None]]) -> set[Future[None]]:
    """Wait until some are done; raise what they raised."""
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return left


def _key(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _expected(body: Mapping[str, Any], answer_tokens: int) -> tuple[int, int]:
    """The most a request can cost: no tokenizer makes more tokens than there are bytes, save its own few."""
    return len(body["messages"][0]["content"].encode("utf-8", "replace")) + 50, answer_tokens


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _content(reply: Any) -> str:
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def _usage(reply: Any, body: Mapping[str, Any]) -> tuple[int, int]:
    usage = reply.get("usage") if isinstance(reply, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (
        read if isinstance(read, int) and read >= 0 else _tokens(body["messages"][0]["content"]),
        written if isinstance(written, int) and written >= 0 else _tokens(_content(reply)),
    )


def _shorten(text: str, words: int) -> str:
    """The beginning of a text; two characters of a script without spaces count as a word."""
    if count_words(text) <= words:
        return text
    pieces: Sequence[str] = text.split()
    if len(pieces) >= words:
        text = " ".join(pieces[:words])
    return text if count_words(text) <= words else text[: 2 * words]


def _fault(query: str, content: str, seen: set[str]) -> str:
    key = normalise(query)
    if not 1 < count_words(query) <= _LONGEST_QUERY:
        return LENGTH
    if key in content:
        return COPIED
    return DUPLICATE if key in seen else ""

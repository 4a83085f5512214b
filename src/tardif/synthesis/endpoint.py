"""Queries written for documents by an OpenAI-compatible chat endpoint: cached, resumable, capped.

Nothing is sent anywhere unless an :class:`EndpointWriter` is made with a URL. Asking a language model
for the queries that a passage answers is the recipe of InPars (Bonifacio et al., SIGIR 2022) and
Promptagator (Dai et al., ICLR 2023).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.checks import check_number, storable
from tardif.data.synthetic import KindCount, SynthesisResult, SyntheticPair, whole_of
from tardif.errors import SettingError
from tardif.folders import expanded
from tardif.synthesis.answers import AnswerCache
from tardif.synthesis.chat import API_KEY, LONGEST_WAIT, MALFORMED, ChatClient, Meter
from tardif.synthesis.spending import Cap, Spending
from tardif.text.normal import normalise
from tardif.text.sentences import count_words
from tardif.types import Document

KIND = "endpoint"
PROMPT = (
    "Write {count} different search queries that a person could type and that the passage below answers. "
    "Write in the passage's language, do not copy its sentences, and do not mention the passage. "
    "Answer with a JSON list of strings and nothing else.\n\nPassage:\n{passage}"
)

# Why an answer or a query is dropped, as reports count it.
UNSTORABLE = "with characters that cannot be stored"
SECRET = "with the key in it"
SURPLUS = "more than asked for"
LENGTH = "too short or long"
COPIED = "copied from the passage"
DUPLICATE = "equal to another query"

# Control characters, without tab, line feed, vertical tab, form feed, carriage return and U+0085.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_LONGEST_QUERY = 40
# 40 words of any language; without a limit in characters, a "word" could be a megabyte.
_LONGEST_CHARACTERS = 1000


@dataclass(frozen=True, repr=False)
class EndpointResult(SynthesisResult):
    """Queries that an endpoint wrote.

    Attributes:
        spent: all requests and tokens, including those of earlier runs with the same cache.
        asked: requests of this run, whatever became of them.
        capped: documents left out because the cap was reached.
        damaged: lines of the cache that could not be used.
        summary: the spending as one line for a reader.
    """

    spent: Spending = field(default_factory=Spending)
    asked: int = 0
    capped: int = 0
    damaged: int = 0
    summary: str = ""

    @property
    def report(self) -> list[str]:
        """Lines for a reader."""
        return [*super().report, self.summary]


class EndpointWriter:
    """Asks a chat endpoint for the queries that documents answer.

    Every answer is appended to the cache before it is used, under a hash of all that was asked. A run that was
    interrupted, or stopped by its cap, resumes there and pays for no usable answer twice. An answer that is no text, or
    holds the key, is not kept: another run asks again.

    The cap holds because the most that a request can cost is reserved before it is sent. Every request that is sent
    counts, also one that times out or is refused for the moment, or one of a run that is killed. If the endpoint does
    not count its tokens, or its count is impossible, they are estimated from the bytes; a request that was cut counts
    as the most that it may write. An endpoint that writes more than a request's ``max_tokens`` can exceed the cap by
    the requests under way.

    Redirects are not followed, so the key goes to no other host; it is written nowhere. A proxy of the environment is
    used for https alone.

    Args:
        url: the API's base (``https://host/v1``) or its full ``.../chat/completions``.
        model: the model's name there.
        cache: a JSONL file of the answers.
        api_key_env: the environment variable that holds the key; "" sends none, and so does the default one if it
            is not set. The default one's key is not sent unencrypted to another machine: name another variable.
        prompt: with ``{passage}`` and optionally ``{count}``.
        count: queries to ask for per document; no more are kept.
        max_requests: cap on the requests sent.
        max_tokens: cap on the tokens read and written together.
        max_cost: cap on the cost, at the prices given.
        price_in: price of a million tokens read.
        price_out: price of a million tokens written.
        answer_tokens: the longest answer, as ``max_tokens`` of a request.
        passage_words: how many words of a document are sent.
        temperature: of the model's sampling.
        workers: requests at once.
        timeout: seconds for a whole request, from the connection to the last byte of the answer.
        tries: how often a request is sent while the endpoint is busy or failing (429, 5xx, no answer).
        backoff: seconds before the second try; doubled every time, unless the endpoint asks for another wait.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        cache: str | Path,
        api_key_env: str = API_KEY,
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
        if not isinstance(prompt, str) or "{passage}" not in prompt:
            raise SettingError("The prompt has no {passage}: write it where the document's text goes.")
        if not isinstance(model, str) or not model.strip():
            raise SettingError(f"model={model!r} is not a model's name: give the name that the endpoint uses.")
        whole = {"count": count, "answer_tokens": answer_tokens, "passage_words": passage_words, "workers": workers}
        for name, value in whole.items():
            check_number(name, value, 1, whole=True)
        check_number("temperature", temperature)
        self.cap = Cap(max_requests, max_tokens, max_cost, price_in, price_out)
        self.cap.check()
        self._client = ChatClient(url, api_key_env, timeout, tries, backoff)
        if self._client.key.is_in(f"{model}\n{prompt}"):
            raise SettingError(f"The model's name or the prompt holds the key: leave it in {api_key_env} alone.")
        self._settings = {"model": model, "max_tokens": answer_tokens, "temperature": temperature}
        self._prompt = prompt
        self._count = count
        self._words = passage_words
        self._workers = workers
        self._cache = expanded(cache)

    def write(self, documents: Iterable[Document]) -> EndpointResult:
        """Ask for queries, document by document, until every document has an answer or the cap is reached.

        The positive of a query is the document itself. Answers that cannot be read are counted, and cost
        like others.

        Raises:
            DataError: the endpoint keeps failing, or the cache cannot be read or written. The answers so
                far are in the cache.
            FolderError: another run uses the cache.
            SettingError: the endpoint refuses the request: wrong key, model or address.
        """
        count = KindCount()
        pairs: list[SyntheticPair] = []
        seen: set[str] = set()
        self._client.stop.clear()
        with AnswerCache(self._cache, self.cap, self._flaw) as cache:
            capped = 0
            for document, key in self._ask(documents, cache):
                if key in cache.answers:
                    pairs += self._pairs(document, cache.answers[key], count, seen)
                elif key in cache.refused:
                    count.made += 1
                    count.dropped[cache.refused[key]] += 1
                else:
                    capped += 1
        return EndpointResult(
            pairs,
            {KIND: count},
            name=KIND,
            spent=cache.spent,
            asked=cache.asked,
            capped=capped,
            damaged=cache.damaged,
            summary=self._summary(cache, capped),
        )

    def _ask(self, documents: Iterable[Document], cache: AnswerCache) -> list[tuple[Document, str]]:
        """Ask what the cache does not answer, until the cap is reached; return the documents with their keys."""
        found: list[tuple[Document, str]] = []
        running: set[Future[None]] = set()
        sent: set[str] = set()
        closed = False
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for document in documents:
                    if not document.content.strip():
                        continue
                    body = self._body(document)
                    key = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).hexdigest()
                    found.append((document, key))
                    if closed or key in cache.answers or key in sent:
                        continue
                    # A short queue: enough that no worker waits, and a failure stops the run soon.
                    while len(running) >= 2 * self._workers:
                        running = _settle(running)
                    # Reserved here, not by a worker: the documents reach the cap in their order.
                    length = len(body["messages"][0]["content"].encode("utf-8", "replace"))
                    meter = Meter(cache, key, length, body["max_tokens"])
                    closed = not meter.reserve()
                    # What is reserved and not used comes free again when the answers are in.
                    while closed and running:
                        running = _settle(running)
                        closed = not meter.reserve()
                    if not closed:
                        sent.add(key)
                        running.add(pool.submit(self._client.post, body, meter))
                while running:
                    running = _settle(running)
            except BaseException:
                # A failure, or the user's Ctrl-C: requests under way end and are kept, and no other is sent.
                self._client.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return found

    def _flaw(self, answer: str) -> str:
        """Why an answer cannot be kept, or "". The queries in its JSON count too: escapes may hide the key in it."""
        texts = [answer, *read_queries(answer)]
        if any(map(self._client.key.is_in, texts)):
            return SECRET
        return UNSTORABLE if any(not storable(text) or _CONTROL.search(text) for text in texts) else ""

    def _body(self, document: Document) -> dict[str, Any]:
        passage = _shorten(document.content, self._words)
        # Not str.format: a prompt or a passage may hold braces of its own.
        text = self._prompt.replace("{count}", str(self._count)).replace("{passage}", passage)
        return {**self._settings, "messages": [{"role": "user", "content": text}]}

    def _pairs(self, document: Document, answer: str, count: KindCount, seen: set[str]) -> list[SyntheticPair]:
        queries = read_queries(answer)
        if not queries:  # the answer was JSON, but its text holds no list
            count.made += 1
            count.dropped[MALFORMED] += 1
        content = normalise(document.content)
        found: list[SyntheticPair] = []
        for query in queries:
            count.made += 1
            fault = SURPLUS if len(found) == self._count else _fault(query, content, seen)
            if fault:
                count.dropped[fault] += 1
                continue
            count.kept += 1
            seen.add(normalise(query))
            found.append(SyntheticPair(query, KIND, document.id, document.id, whole_of(document)))
        return found

    def _summary(self, cache: AnswerCache, capped: int) -> str:
        spent = cache.spent
        parts = [
            f"{cache.asked} requests in this run, {spent.requests} in all with "
            f"{spent.read} tokens read and {spent.written} written"
        ]
        if self.cap.price_in + self.cap.price_out:
            parts[0] += f", {spent.cost(self.cap):.4f} at the prices given"
        if spent.estimated:
            parts.append(f"the tokens of {spent.estimated} are estimated: the endpoint gave no plausible count")
        if cache.troubles:
            what = ", ".join(f"{number} {trouble}" for trouble, number in sorted(cache.troubles.items()))
            parts.append(f"without a usable answer: {what}")
        if cache.waits:
            parts.append(f"waited {LONGEST_WAIT:g} s where it asked for up to {max(cache.waits):.3g} s")
        if cache.damaged:
            parts.append(f"{cache.damaged} lines of the cache cannot be used and were passed over")
        if capped:
            parts.append(f"{capped} documents left out, the cap is reached: raise it to continue")
        return f"{KIND}: " + "; ".join(parts)


def read_queries(answer: str) -> list[str]:
    """The queries in an answer: a JSON list of strings, bare or inside other text; else nothing.

    Lines of prose are not taken for queries: a refusal would become training data.

    >>> read_queries('Sure: ["who built it", "when"]'), read_queries("I cannot help with that.")
    (['who built it', 'when'], [])
    """
    first, last = answer.find("["), answer.rfind("]")
    try:
        found = json.loads(answer[first : last + 1])
    except (ValueError, RecursionError):
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


def _shorten(text: str, words: int) -> str:
    """The beginning of a text; two characters of a script without spaces count as a word."""
    if count_words(text) <= words:
        return text
    pieces: Sequence[str] = text.split()
    if len(pieces) >= words:
        text = " ".join(pieces[:words])
    return text if count_words(text) <= words else text[: 2 * words]


def _fault(query: str, content: str, seen: set[str]) -> str:
    """Why a query is dropped, or ""."""
    key = normalise(query)
    if len(query) > _LONGEST_CHARACTERS or not 1 < count_words(query) <= _LONGEST_QUERY:
        return LENGTH
    if key in content:
        return COPIED
    return DUPLICATE if key in seen else ""

"""Limits of the service: how much one request may ask for, how much may wait, and how long a client may take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from tardif.errors import SettingError

_UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_AMOUNT = re.compile(r"([0-9]{1,12})(kib|mib|gib)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ServiceLimits:
    """How much a request may ask for, how much may wait, and how long a client may take.

    The defaults let every reasonable request pass, and keep a small machine alive when requests are not reasonable.

    Attributes:
        body_bytes: size of a request's body.
        k: hits of a search.
        query_characters: length of a query.
        filter_characters: length of a filter.
        queries: queries of one search.
        hits: hits of one search, over all its queries.
        explained_hits: the same of a search that explains its hits. An explanation costs as much as a search, and one
            thread searches an index: whoever asked for thousands would keep all others waiting.
        rerank_documents: documents of one reranking. They are encoded while the caller waits.
        documents: documents that one request adds.
        document_ids: ids that one request deletes.
        waiting_queries: queries that wait to be searched, of each index. It bounds the time that one waits.
        waiting_documents: documents that are encoded, written or deleted, or wait for it, over all requests.
        requests: requests that are answered at the same time.
        buffered_bytes: bodies in memory, over all requests.
        connections: open connections.
        head_seconds: time to send a request's headers.
        body_seconds: time to send a request's body.
        idle_seconds: time that a connection stays open between requests.
        write_seconds: time in which a client must have read a part of its answer.
        answer_seconds: time for an answer that changes nothing. What changes an index is finished, whatever it takes.

    >>> ServiceLimits().k
    1000
    """

    body_bytes: int = 8 << 20
    k: int = 1_000
    query_characters: int = 10_000
    filter_characters: int = 20_000
    queries: int = 100
    hits: int = 10_000
    explained_hits: int = 1_000
    rerank_documents: int = 256
    documents: int = 1_000
    document_ids: int = 10_000
    waiting_queries: int = 128
    waiting_documents: int = 4_000
    requests: int = 256
    buffered_bytes: int = 128 << 20
    connections: int = 1_024
    head_seconds: int = 10
    body_seconds: int = 60
    idle_seconds: int = 60
    write_seconds: int = 30
    answer_seconds: int = 60

    def with_texts(self, texts: Mapping[str, str]) -> ServiceLimits:
        """Return these limits with some changed, as they are written on the command line.

        Raises:
            SettingError: a name is unknown, or an amount is no whole number above 0.

        >>> ServiceLimits().with_texts({"k": "5000", "body_bytes": "64MiB"}).body_bytes
        67108864
        """
        known = [field.name for field in fields(self)]
        amounts = {}
        for name, text in texts.items():
            if name not in known:
                raise SettingError(f"--limit {name}: unknown; the limits are {', '.join(known)}.")
            found = _AMOUNT.fullmatch(text.strip())
            amount = int(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0
            if amount < 1:
                raise SettingError(f"--limit {name}={text}: give a whole number above 0, such as 500 or 64MiB.")
            amounts[name] = amount
        return replace(self, **amounts)

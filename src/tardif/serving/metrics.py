"""Metrics for Prometheus, with few labels: routes, statuses and indexes are few, whatever clients send."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tardif._version import __version__

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

# Seconds: from a search in memory to documents that are encoded.
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """What the service counts. Each application has its own.

    Args:
        indexes: the names of the indexes.

    >>> metrics = Metrics(["support"])
    >>> metrics.answered("GET", "/indexes", 200, 0.002)
    >>> 'tardif_requests_total{method="GET",route="/indexes",status="200"} 1.0' in metrics.page().decode()
    True
    """

    def __init__(self, indexes: Sequence[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("tardif_build", "The version of Tardif.", registry=self._registry).info({"version": __version__})
        self._requests = Counter(
            "tardif_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "tardif_request_seconds", "Time to answer a request.", ("route",), buckets=_BUCKETS, registry=self._registry
        )
        self.in_progress = Gauge("tardif_requests_in_progress", "Requests being answered.", registry=self._registry)
        self.documents = Gauge("tardif_index_documents", "Documents in an index.", ("index",), registry=self._registry)
        self.waiting_documents = Gauge(
            "tardif_waiting_documents",
            "Documents that are encoded or written, or wait for it.",
            registry=self._registry,
        )
        self._queries = Counter("tardif_queries", "Queries searched.", ("index",), registry=self._registry)
        for name in indexes:
            self._queries.labels(name)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: of HTTP; one that no route has counts as ``other``.
            route: the route's template, not the path.
            status: the answer's.
            seconds: that it took.
        """
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def searched(self, index: str, queries: int) -> None:
        """Count queries that were searched."""
        self._queries.labels(index).inc(queries)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

"""The options of the service, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from tardif.serving.limits import ServiceLimits


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """Who may ask the service, and for how much.

    Attributes:
        token: what a client must send as ``Authorization: Bearer``; None asks for none.
        loopback: whether only programs on this machine can reach the service. Without a token such a service answers
            only requests that name this machine in their Host header: a page in a browser may have had its own name
            resolved to this machine (DNS rebinding).
        allow_origins: origins, such as ``https://search.example``, whose pages may ask the service from a browser.
        limits: how much.
        quiet: log no requests that were answered as they should be.

    >>> ServiceOptions(token="not shown").allow_origins
    ()
    """

    token: str | None = field(default=None, repr=False)
    loopback: bool = True
    allow_origins: tuple[str, ...] = ()
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    quiet: bool = False

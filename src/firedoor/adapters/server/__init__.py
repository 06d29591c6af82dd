"""HTTP servers on a socket that somebody else bound (ADR 0036 says why there are two)."""

from firedoor.adapters.server.direct import DirectServer
from firedoor.adapters.server.embedded import HttpServer
from firedoor.adapters.server.limits import BACKLOG, UNSENT_BYTES, App, Limits, limit_connections

__all__ = [
    "BACKLOG",
    "UNSENT_BYTES",
    "App",
    "DirectServer",
    "HttpServer",
    "Limits",
    "limit_connections",
]

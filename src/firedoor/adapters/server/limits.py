"""What connections and processes may use, whichever server serves them."""

import resource
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

BACKLOG: Final = 4096
"""Connections that may wait while a restart or a burst keeps the server from accepting."""

MAX_HEAD_BYTES: Final = 64 * 1024
"""Limit of a request's head, and of what the server buffers of a reply before it waits."""

IDLE_MS: Final = 30_000
"""A connection on which no complete head of a request arrives for this long is closed."""

UNSENT_BYTES: Final = 64 * 1024
"""What the kernel takes of a reply beyond what is on the wire.

Without this limit loopback and fast networks take some 4 MB before a sender waits, and the gate
would believe that a machine has a file of which it read ten kilobytes.
"""

STALL_MS: Final = 120_000
"""A peer that acknowledges or reads nothing of a reply for this long is disconnected."""

SLOW_S: Final = 300
"""A reply of which the client has not taken ``SLOW_BYTES`` in this time ends."""

SLOW_BYTES: Final = 64 * 1024
"""218 bytes a second: a fifth of the slowest rate of GPRS, with one slot of the worst coding.

The window is long enough for a client that is out of reach for two minutes, which is as long as
the kernel waits for an acknowledgement (``STALL_MS``).
"""

_SPARE_DESCRIPTORS: Final = 128
"""Descriptors kept free for databases, blobs and logs."""

_MOST_DESCRIPTORS: Final = 65_536
"""As far as a process raises its own limit; some systems allow a billion."""

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: scope, receive, send."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server may use.

    Attributes:
        connections: Open connections, idle ones too, >= 1. Whether more wait in the backlog or
            push others out is the server's; where the process may not open as many descriptors,
            it is as many as fit. The soft limit of descriptors is raised to the hard one before.
        stop_s: Seconds that open requests may go on after ``stop``, > 0.
        slow_s: Seconds in which a client has to take ``SLOW_BYTES`` of a reply or all that is
            left of it, >= 1. ``DirectServer`` only.
    """

    connections: int = 12_288
    stop_s: float = 2.0
    slow_s: int = SLOW_S


def limit_connections(listener: socket.socket) -> None:
    """Make a listening socket non-blocking, and bound what is on its way to those it accepts."""
    listener.setblocking(False)
    # Linux has both; elsewhere a reply is counted as delivered a few megabytes too early.
    for name, value in (("TCP_NOTSENT_LOWAT", UNSENT_BYTES), ("TCP_USER_TIMEOUT", STALL_MS)):
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def allow_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one, within reason."""
    # Shells and service managers start processes with a soft limit of 1,024, which fewer slow
    # clients than that would use up; whoever set the hard limit allows as many.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def fitting(connections: int, descriptors: int = 1) -> int:
    """So many connections, or fewer where the process may not open as many descriptors.

    Args:
        connections: As many as there should be, >= 1.
        descriptors: What each of them may have open, >= 1.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, (soft - _SPARE_DESCRIPTORS) // descriptors))

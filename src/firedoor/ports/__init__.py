"""Ports: what the services need from the world, as small Protocols.

The docstring of a method is its contract: what is durable, atomic, idempotent, and what is
returned when there is nothing. Adapters match structurally; one contract suite per port runs
against all of them (``tests/contract``).
"""

from firedoor.ports.arrival import ARRIVAL, CERTIFICATE, Arrival, Certificate, ClientGone
from firedoor.ports.clocks import Clock, Instant
from firedoor.ports.content import BlobStore, Fetched, Listed, Source, Upstream
from firedoor.ports.register import Identity, Register
from firedoor.ports.signals import (
    Delivery,
    HeardCollector,
    Inventory,
    Numbered,
    Pulse,
    SignalEvent,
    SignalSource,
    SignalStore,
    StoredBatch,
    StoredBeat,
    StoredEvent,
)

__all__ = [
    "ARRIVAL",
    "CERTIFICATE",
    "Arrival",
    "BlobStore",
    "Certificate",
    "ClientGone",
    "Clock",
    "Delivery",
    "Fetched",
    "HeardCollector",
    "Identity",
    "Instant",
    "Inventory",
    "Listed",
    "Numbered",
    "Pulse",
    "Register",
    "SignalEvent",
    "SignalSource",
    "SignalStore",
    "Source",
    "StoredBatch",
    "StoredBeat",
    "StoredEvent",
    "Upstream",
]

"""A world around the intake, asked in process, and the lines that are posted to it."""

import asyncio
import json

from tests.asgi import ask
from tests.clocks import HandClock

from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.units import UnixMs
from firedoor.intake.app import make_app

PATH = "/v1/signals"


class World:
    """A register with some machines, a store, and an intake over both."""

    def __init__(self, folder):
        self.clock = HandClock()
        self.register = MachineRegister(folder / "machines.db", self.clock)
        self.store = SignalDatabase(folder / "intake.db")
        self.source = SignalReader(folder / "intake.db")
        self.till = self.register.enroll("till-17", {}, UnixMs(1))
        self.pos = self.register.enroll("pos-1", {}, UnixMs(1))
        self.collector = self.register.enroll_collector("prague", ["till-*"], UnixMs(1))
        # Read through another connection than it is written, as the process does.
        self.known = MachineRegister(folder / "machines.db", self.clock, read_only=True)
        self.app = self.make()

    def make(self, **options):
        """Another intake over the same world."""
        return make_app(
            self.known,
            self.store,
            self.clock,
            **{"heartbeat_ms": 60_000, "bucket_ms": 60_000, "max_body": 10_000, **options},
        )

    def post(self, body, token=None, path=PATH, **headers):
        """Post as the till, unless told otherwise."""
        sent = {"authorization": f"Bearer {token or self.till.signal}"}
        sent.update({key.replace("_", "-"): value for key, value in headers.items()})
        return asyncio.run(ask(self.app, "POST", path, body, sent))

    def cut(self, body, path=PATH):
        """Post as the till, and leave before the end."""
        sent = [(b"authorization", f"Bearer {self.till.signal}".encode())]
        messages = [
            {"type": "http.request", "body": body, "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive():
            return messages.pop(0)

        async def send(message):
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": sent}
        asyncio.run(self.app(scope, receive, send))

    def events(self):
        """All stored events."""
        return [stored.event for stored in self.source.events_after(0, 100)]

    def heard(self):
        """The heartbeats of each batch."""
        return [list(batch.heartbeats) for batch in self.source.batches_after(0, 100)]

    def reporting(self):
        """How each machine reports, once an intake with short buckets has looked; it ends."""

        async def live():
            await self.app.start()
            for _ in range(1_000):
                # With the third its first look is over.
                if len(self.source.beats_after(0)) > 2:
                    break
                await asyncio.sleep(0.005)
            await self.app.stop()

        asyncio.run(live())
        return {pulse.machine: pulse.reports for pulse in self.source.pulses_after(0)}

    def close(self):
        """Close all databases."""
        for part in (self.register, self.known, self.store, self.source):
            part.close()


def line(machine="till-17", time=1_721_362_140_000, kind="heartbeat", **more):
    """A signal of the till, unless told otherwise."""
    return json.dumps({"machine": machine, "time": time, "kind": kind, **more}).encode()


def lines(*given):
    """A body of these lines."""
    return b"\n".join(given) + b"\n"


async def half_sent(app, path, authorization, size, held):
    """Send so much of a body, and go away when told to."""
    sent, began = [], False

    async def receive():
        nonlocal began
        if began:
            await held.wait()
            return {"type": "http.disconnect"}
        began = True
        return {"type": "http.request", "body": b" " * size, "more_body": True}

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", authorization.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await app(scope, receive, send)
    return sent

"""Who waits for a socket is called when it is ready, and not after it gave up."""

import asyncio
import socket
from contextlib import closing

import uvloop

from firedoor.adapters.server.readiness import READ, WRITE, Readiness

PATIENCE_S = 10


class Listener:
    """Notes what it is told; stops waiting when it was told so often."""

    def __init__(self, readiness, sock, events, times=1):
        self.told = []
        self.done = asyncio.Event()
        self._readiness, self._socket, self._times = readiness, sock, times
        readiness.wait(sock.fileno(), self, events)

    def _note(self, event):
        self.told.append(event)
        if len(self.told) == self._times:
            self._readiness.wait(self._socket.fileno(), self, 0)
            self.done.set()

    def readable(self):
        """Something has come."""
        self._note("read")

    def writable(self):
        """There is room."""
        self._note("write")


def play(scene):
    """Run a scene with a connected pair of sockets."""

    async def run():
        ours, theirs = socket.socketpair()
        with ours, theirs, closing(Readiness()) as readiness:
            ours.setblocking(False)
            await asyncio.wait_for(scene(readiness, ours, theirs), PATIENCE_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_what_comes_is_told_as_long_as_it_is_not_read():
    """A connection that reads a part is called again for the rest."""

    async def scene(readiness, ours, theirs):
        listener = Listener(readiness, ours, READ, times=3)
        theirs.send(b"x")
        await listener.done.wait()
        assert listener.told == ["read"] * 3

    play(scene)


def test_room_and_bytes_are_told_apart():
    """A reply that waits for room must not be taken for a request."""

    async def scene(readiness, ours, theirs):
        writes = Listener(readiness, ours, WRITE)
        theirs.send(b"x")
        await writes.done.wait()
        reads = Listener(readiness, ours, READ)
        await reads.done.wait()
        assert (writes.told, reads.told) == (["write"], ["read"])

    play(scene)


def test_a_peer_that_has_gone_is_told_whatever_is_waited_for():
    """Else its connection would be kept for ever."""

    async def scene(readiness, ours, theirs):
        theirs.close()
        writes = Listener(readiness, ours, WRITE)
        await writes.done.wait()
        reads = Listener(readiness, ours, READ)
        await reads.done.wait()

    play(scene)


def test_who_has_given_up_is_called_no_more():
    """What was closed may be another's descriptor by now."""

    async def scene(readiness, ours, theirs):
        gone = Listener(readiness, ours, READ, times=1_000)
        readiness.wait(ours.fileno(), gone, 0)
        readiness.wait(ours.fileno(), gone, 0)
        theirs.send(b"x")
        listener = Listener(readiness, ours, READ)
        await listener.done.wait()
        assert gone.told == []

    play(scene)

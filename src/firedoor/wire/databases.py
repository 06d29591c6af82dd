"""The files of the databases: made, told apart from older copies, and watched while they are open.

The judge remembers how far it has read the others. A database that was deleted begins its
numbers again, and one that was restored goes on from lower ones: both would be passed over in
silence. Here such a file is found before any role opens it, and while roles have it open; what
the judge does about it is in ``restored``.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store import gate, gate_schema, inbox, judge, judge_schema, signals
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.sqlite import Schema, file_at, open_writer, renew_identity
from firedoor.core.errors import Unavailable
from firedoor.wire.files import Files

_LOOK_EVERY_S = 0.5
_SCHEMAS: Sequence[tuple[str, Schema]] = (
    (gate.NAME, gate_schema.SCHEMA),
    (judge.NAME, judge_schema.SCHEMA),
    (inbox.NAME, inbox.SCHEMA),
    (signals.NAME, signals.SCHEMA),
)
_log = structlog.get_logger()


def prepare(files: Files) -> None:
    """Make the databases that do not exist yet, so that every role may read every other's.

    One that is older than what the judge has read of it is made another one: before its writer
    goes on, since afterwards its numbers would tell nothing.

    Raises:
        Unavailable: One cannot be opened or written.
    """
    files.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, schema in _SCHEMAS:
        open_writer(files.data / name, schema).close()
    MachineRegister(files.register, SystemClock()).close()
    with contextlib.closing(JudgeReader(files.data)) as judged:
        _tell_apart(files, judged)
        _number_orders(files, judged)


def _tell_apart(files: Files, judged: JudgeReader) -> None:
    with contextlib.ExitStack() as stack:
        readers = (
            (gate.NAME, gate_schema.SCHEMA, gate.GateReader(files.data)),
            (inbox.NAME, inbox.SCHEMA, InboxReader(files.data)),
            (files.signals.name, signals.SCHEMA, signals.SignalReader(files.signals)),
        )
        for name, schema, reader in readers:
            stack.callback(reader.close)
            known = judged.source(name)
            # Cursors before rows: a role that runs may write on meanwhile.
            read = {cursor: judged.cursor(cursor) for cursor in reader.SEQUENCES}
            reached = reader.reached()
            if known == reader.identity() and any(read[each] > reached[each] for each in read):
                renew_identity(files.data / name, schema, known)
                _log.error("older_database", file=name)


def _number_orders(files: Files, judged: JudgeReader) -> None:
    answered = judged.cursor("request")
    with contextlib.closing(InboxReader(files.data)) as reader:
        behind = reader.reached()["request"] < answered
    if behind:
        with contextlib.closing(InboxWriter(files.data)) as writer:
            writer.number_above(answered)


class Watch:
    """Ends this process, in order, once one of the databases is not the file that it opened.

    A process goes on writing and reading a file that was deleted under it, where nobody else
    sees it. Started again, every role finds what lies there now. From ``with`` to its end.
    """

    def __init__(self, files: Files, *, every_s: float = _LOOK_EVERY_S) -> None:
        """Note which files are there now; look again every ``every_s`` seconds."""
        names = [name for name, _ in _SCHEMAS] + [files.register.name]
        self._files = {files.data / name: file_at(files.data / name) for name in names}
        self._every_s = every_s
        self._ended = threading.Event()
        self._replaced = ""
        self._looking = threading.Thread(target=self._look, name="database-watch", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._looking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End looking. Raises Unavailable if a database was replaced, so that it is seen."""
        self._ended.set()
        self._looking.join()
        if self._replaced and error is None:
            raise Unavailable(
                f"{self._replaced} was deleted or replaced while it was open",
                hint="start again: what lies there now is looked at",
            )

    def _look(self) -> None:
        while not self._ended.wait(self._every_s):
            for path, known in self._files.items():
                if file_at(path) != known:
                    self._replaced = path.name
                    _log.error("database_replaced", file=path.name)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

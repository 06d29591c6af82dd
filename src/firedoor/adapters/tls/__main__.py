"""The relay's process; ``TlsFront`` starts it. Ends when its standard input does.

It holds the private key and talks to everybody, and has nothing else: no database, no content.
What it has to say goes to standard output, a JSON object a line, and into the log of its role.
"""

import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from firedoor.adapters.tls.context import Renewal, TlsFiles
from firedoor.adapters.tls.peers import Peers
from firedoor.adapters.tls.relay import Onward, Relay, Way
from firedoor.core.errors import BadConfig


def main() -> None:
    """Relay as the one argument says, a JSON object."""
    said: dict[str, Any] = json.loads(sys.argv[1])
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(True))
    client_ca = said["client_ca"]
    files = TlsFiles(
        Path(said["certificate"]), Path(said["key"]), Path(client_ca) if client_ca else None
    )
    renewal = Renewal(files, http2=len(said["ways"]) > 1)
    relay = Relay(
        socket.socket(fileno=said["listener"]),
        Onward(*(Way(*each) for each in said["ways"])),
        Peers(said["peers"]),
        renewal.context,
        connections=min(said["connections"], _fitting()),
        wake=sys.stdin.fileno(),
    )

    def look() -> None:
        try:
            if renewal.changed():
                relay.renew(renewal.context, distrust=renewal.distrusts)
                _say("certificate_renewed")
        except BadConfig as error:
            _say("certificate_not_renewed", error=str(error), hint=error.hint)

    _say("relay_started")
    relay.run(lambda: bool(stopped), look)
    relay.drain(said["stop_s"])


def _say(event: str, **facts: str) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)  # noqa: T201 - the way it reports


def _fitting() -> int:
    """How many connections the descriptors are enough for, two each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, (wanted - 64) // 2)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do that could take time

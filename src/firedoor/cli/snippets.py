"""Ready-made configuration for the clients of a machine, as one shell script.

The script is run once on the machine, by root. Tokens go into files that only root can read;
a path token is for clients that can do nothing better (decisions.md 10).
"""

from dataclasses import dataclass
from shlex import quote
from urllib.parse import urlsplit

from firedoor.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Target:
    """Where a machine finds Firedoor.

    Attributes:
        gate: URL of the gate, without a path.
        intake: URL of the intake, without a path.
        channel: Channel that the examples name.

    Raises:
        BadInput: A URL is none that a client could use.
    """

    gate: str
    intake: str
    channel: str

    def __post_init__(self) -> None:
        """Refuse what would break the script, before there is a token to put into it."""
        _host(self.gate)
        _host(self.intake)


def files_client(name: str, read: str, signal: str, target: Target, heartbeat_s: float) -> str:
    """The script for a machine that reads a channel of kind ``files``.

    It writes credentials for curl and wget and a program that sends one heartbeat, and shows,
    as comments, how a file is read.

    Args:
        name: Name of the machine.
        read: Its token for the gate.
        signal: Its token for the intake.
        target: Where Firedoor is.
        heartbeat_s: How often a heartbeat is expected, seconds.
    """
    example = f"{quote(f'{target.gate}/{target.channel}/')}FILE"
    return f"""\
#!/bin/sh
# Firedoor, machine {name}. Run once on that machine, as root; it holds the machine's tokens.
set -eu
etc="${{FIREDOOR_ETC:-/etc/firedoor}}"
umask 077
mkdir -p "$etc"

cat >"$etc/gate.netrc" <<'END'
machine {_host(target.gate)} login {name} password {read}
END
cat >"$etc/gate.wgetrc" <<'END'
auth_no_challenge = on
user = {name}
password = {read}
END
cat >"$etc/intake.netrc" <<'END'
machine {_host(target.intake)} login {name} password {signal}
END

cat >"$etc/heartbeat" <<'END'
#!/bin/sh
# A sign of life; run it every {heartbeat_s:g} s, from the timer beside it or a loop.
printf '{{"machine": "{name}", "time": "%s", "kind": "heartbeat"}}\\n' \\
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" |
  curl -fsS -o /dev/null --netrc-file "${{0%/*}}/intake.netrc" \\
    -H 'Content-Type: application/x-ndjson' --data-binary @- {quote(target.intake)}/v1/signals
END
chmod 700 "$etc/heartbeat"

cat >"$etc/firedoor-heartbeat.service" <<END
[Unit]
Description=Sign of life for Firedoor
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart="$etc/heartbeat"
END
cat >"$etc/firedoor-heartbeat.timer" <<'END'
[Unit]
Description=Signs of life for Firedoor

[Timer]
OnBootSec=0
OnUnitActiveSec={heartbeat_s * 1000:.0f}ms
AccuracySec=100ms

[Install]
WantedBy=timers.target
END

# To send heartbeats from now on (once they have been heard, their absence counts):
# systemctl link /etc/firedoor/firedoor-heartbeat.service
# systemctl enable --now /etc/firedoor/firedoor-heartbeat.timer

# Read a file, with the one or the other:
#   curl -fsSO --netrc-file /etc/firedoor/gate.netrc {example}
#   WGETRC=/etc/firedoor/gate.wgetrc wget {example}
# A client that can send no credentials reads the same below (its logs then hold the token):
#   {target.gate}/m/{read}/{target.channel}/FILE
"""


def _host(url: str) -> str:
    parts = urlsplit(url)
    usable = parts.scheme in ("http", "https") and url.isprintable() and " " not in url
    host = parts.hostname
    if not host or not usable:
        raise BadInput(f"{url!r} is no URL of a server", hint="such as http://gate.example:8080")
    return host

"""The shipping of a machine's journal, as a part of the script of ``machine enroll``.

``systemd-journal-upload`` gives up for good after about a second of refusals, with the limits that
its unit has by itself: a restart of Firedoor would look as if every machine had fallen silent. So
the script brings a drop-in that lets it go on, beside the one that says where to.

Source: clients.md 0.7, 6.
"""

import string
from shlex import quote
from typing import Final
from urllib.parse import urlsplit

from firedoor.cli.snippets import Own, Target

_PORTS: Final = {"http": 80, "https": 443}


def journal_client(signal: str, target: Target, own: Own, *, shown: bool) -> str:
    """The lines of the script that send the machine's journal to the intake, from now on.

    Args:
        signal: The machine's token for the intake.
        target: Where Firedoor is.
        own: Its certificate, if it has one.
        shown: Whether the intake asks for certificates: then no token stands in the address.
    """
    proven = bool(own.key) and shown
    return _SCRIPT.substitute(
        url=quote(_address(target.intake) + ("" if proven else f"/m/{signal}")),
        trust=_believing(target),
        key=_PROVING if proven else _UNPROVEN if target.intake.startswith("https:") else "",
    )


def _address(url: str) -> str:
    """The URL with its port: without one the client puts its own, behind the path."""
    parts = urlsplit(url)
    port = "" if parts.port else f":{_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{parts.netloc}{port}"


def _believing(target: Target) -> str:
    if not target.intake.startswith("https://"):
        return ""
    if target.ca:
        return _OWN_AUTHORITY
    return _KNOWN_AUTHORITIES


_OWN_AUTHORITY: Final = """\
cp "$etc/ca.pem" "$systemd/firedoor/ca.pem"
chmod 644 "$systemd/firedoor/ca.pem"
echo "TrustedCertificateFile=$systemd/firedoor/ca.pem" >>"$upload.new"
"""

# What it believes by itself is a file that no system has.
_KNOWN_AUTHORITIES: Final = """\
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [ -e "$bundle" ] && echo "TrustedCertificateFile=$bundle" >>"$upload.new" && break
done
"""

_PROVING: Final = """\
cp "$etc/machine.pem" "$etc/machine.key" "$systemd/firedoor/"
chmod 640 "$systemd/firedoor/machine.pem" "$systemd/firedoor/machine.key"
if [ -n "$reader" ]; then
  chgrp "$reader" "$systemd/firedoor/machine.pem" "$systemd/firedoor/machine.key"
fi
cat >>"$upload.new" <<END
ServerKeyFile=$systemd/firedoor/machine.key
ServerCertificateFile=$systemd/firedoor/machine.pem
END
"""


# By itself it would show a certificate that is not there.
_UNPROVEN: Final = """\
printf 'ServerKeyFile=-\\nServerCertificateFile=-\\n' >>"$upload.new"
"""


class _Template(string.Template):
    """Text with ``@name`` to fill in: the dollars are the shell's."""

    delimiter = "@"


_SCRIPT: Final = _Template("""
# The journal. It is kept on disk from now on, if /var/log/journal can be made: only so its end
# tells whether the machine was shut down or crashed.
# systemd-journal-upload runs as a user of its own, in the group systemd-journal: that group may
# read the token, and nobody else.
systemd="${FIREDOOR_SYSTEMD:-/etc/systemd}"
upload="$systemd/journal-upload.conf.d/firedoor.conf"
reader=
if getent group systemd-journal >/dev/null 2>&1; then reader=systemd-journal; fi
mkdir -p "$systemd/journal-upload.conf.d" "$systemd/firedoor" \\
  "$systemd/system/systemd-journal-upload.service.d"
chmod 755 "$systemd/journal-upload.conf.d" "$systemd/firedoor" \\
  "$systemd/system/systemd-journal-upload.service.d"
cat "$systemd/journal-upload.conf" "$systemd"/journal-upload.conf.d/*.conf 2>/dev/null |
  sed -n 's/^URL=/the journal goes no longer to /p' | grep -v -F '/m/fds_' >&2 || true
printf '[Upload]\\nURL=%s\\n' @url >"$upload.new"
@trust@key\\
chmod 640 "$upload.new"
if [ -n "$reader" ]; then chgrp "$reader" "$upload.new"; fi
mv "$upload.new" "$upload"
cat >"$systemd/system/systemd-journal-upload.service.d/firedoor.conf" <<'END'
# Without these it gives up for ever after a second in which nobody answers.
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=15
END
chmod 644 "$systemd/system/systemd-journal-upload.service.d/firedoor.conf"
if [ -d /run/systemd/system ] && [ "$systemd" = /etc/systemd ]; then
  if [ ! -d /var/log/journal ]; then
    mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal &&
      journalctl --flush || echo 'the journal is not kept on disk: crashes cannot be told' >&2
  fi
  systemctl daemon-reload
  if [ -e /lib/systemd/systemd-journal-upload ] || [ -e /usr/lib/systemd/systemd-journal-upload ]
  then
    systemctl enable systemd-journal-upload.service
    systemctl restart systemd-journal-upload.service
  else
    echo 'systemd-journal-upload is missing: install systemd-journal-remote, and then run' >&2
    echo '  systemctl enable --now systemd-journal-upload.service' >&2
  fi
fi
""")

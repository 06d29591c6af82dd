"""What a configuration may say of preflight."""

from pathlib import Path

import pytest

from firedoor.config import from_text
from firedoor.core.errors import BadConfig

CHANNEL = '[[channel]]\nname = "c"\nkind = "{kind}"\nupstream = "/srv/c"\n{more}'


@pytest.mark.parametrize(
    ("kind", "more", "looks"),
    [
        ("clamav", "", True),
        ("clamav", "preflight = false", False),
        ("files", "", False),
        ("files", 'preflight_command = ["/usr/local/bin/look"]', True),
        ("files", 'preflight = false\npreflight_command = ["/usr/local/bin/look"]', False),
    ],
)
def test_a_release_is_looked_at_where_there_is_a_tool_and_nobody_says_no(kind, more, looks):
    """On by default: who installs the tools is protected without another line."""
    (channel,) = from_text(CHANNEL.format(kind=kind, more=more)).channels

    assert channel.is_preflighted is looks


@pytest.mark.parametrize(
    "path", ["/", "/srv", "/srv/firedoor", "/srv/firedoor/keys", "/opt/../srv"]
)
def test_clean_files_may_not_hold_firedoors_own(path):
    """What opens a hostile file must not read the keys of the ledger."""
    text = f'data = "/srv/firedoor"\n[preflight]\nclean = ["/usr/bin", "{path}"]'

    with pytest.raises(BadConfig, match="see Firedoor's own files"):
        from_text(text, base=Path("/etc/firedoor"))


def test_no_files_need_be_known_to_be_clean():
    """Then only what loads is looked at."""
    assert from_text("[preflight]\nclean = []").preflight.clean == ()
    assert from_text("").preflight.clean == ("/usr/bin", "/usr/sbin")

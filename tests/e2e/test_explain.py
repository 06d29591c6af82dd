"""The demo's bad release, explained by the running product to whoever is woken by it."""

import http.client
import json
import subprocess
import sys

import pytest
from tests.tree import Tree, until

MACHINES = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def explained(tree: Tree, *options: str) -> str:
    """What the command prints, run as a person runs it."""
    command = [sys.executable, "-m", "firedoor", "verdict", "explain", tree.door().release]
    done = subprocess.run(
        [*command, "--config", str(tree.root / "firedoor.toml"), *options],
        capture_output=True,
        check=True,
        text=True,
        encoding="utf-8",
    )
    return done.stdout


def page(tree: Tree, path: str) -> str:
    """What the console's page says."""
    connection = http.client.HTTPConnection("127.0.0.1", tree.ports["console"], timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200, body
    return body


def test_a_brick_is_explained_at_the_prompt_and_on_the_page(tmp_path):
    """The same facts in both, the numbers those of what really happened."""
    tree = Tree(tmp_path)
    tree.publish("1.0")
    with tree:
        tree.let_live(MACHINES)
        until(tree.is_ready, "the fleet is ready", tree.tail)
        tree.publish("2.0", defect="brick")
        until(lambda: tree.is_at(2, "shut", "held"), "the brick is stopped", tree.tail)
        until(lambda: tree.door().state != "opening", "it stays so", tree.tail)

        facts = json.loads(explained(tree, "--json"))
        english, chinese = explained(tree, "--lang", "en"), explained(tree, "--lang", "zh_Hans")
        release = tree.door().release
        api = json.loads(page(tree, f"/api/releases/{release}/explanation"))
        shown = page(tree, f"/releases/{release}/explain?lang=en")
        struck = tree.struck()
        # Without a hook an alert is a line in the log; with one it is the same, as JSON.
        alerts = tree.log.read_text(encoding="utf-8")

    assert facts["signals"][0]["signal"] == "silence"
    assert facts["signals"][0]["treated_harmed"] == len(struck) > 0
    assert facts["signals"] == api["signals"]
    assert facts["advice"] == api["advice"]
    for text in (english, shown):
        assert "What you can do now" in text
        assert f"firedoor release machines {release[:12]} --state harmed" in text
        assert "no server reaches" in " ".join(text.split())
    assert "您现在可以做什么" in chinese
    assert f":{tree.ports['console']}/releases/{release}/explain" in alerts

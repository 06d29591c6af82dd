"""Folders of the gate, walked by unmodified clients that find their way by links."""

import hashlib
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tree import Tree, until

from firedoor.simulator.stage import CHANNEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

FILES = {"pool/a:b c/app.bin": b"bytes\n" * 100, "pool/app.bin": b"more\n", "VERSION": b"1\n"}
LIST = "SHA256SUMS"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    tree = Tree(tmp_path_factory.mktemp("tree"))
    for path, data in FILES.items():
        (tree.vendor_root / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.vendor_root / path).write_bytes(data)
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in FILES.items())
    (tree.vendor_root / LIST).write_text("".join(lines))
    with tree:
        tree.until_open(1)
        tree.enrol("till-1")
        until(lambda: tree.get("VERSION", "till-1", method="HEAD").status == 200, "it is known")
        yield tree


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("", f"./{CHANNEL}/"),
        ("?full=1", f"./{CHANNEL}/?full=1"),
        ("/pool", "./pool/"),
        ("/pool/a:b%20c?x=%2F", "./a%3Ab%20c/?x=%2F"),
    ],
)
def test_a_folder_without_its_slash_is_sent_to_the_one_with_it(tree, method, path, location):
    """The links of its listing begin there; without the slash they lead nowhere."""
    token = tree.machines["till-1"].read
    ways = [
        tree.ask(method, f"/{CHANNEL}{path}", machine="till-1"),
        tree.ask(method, f"/m/{token}/{CHANNEL}{path}"),
    ]

    for reply in ways:
        assert (reply.status, reply.headers["location"], reply.body) == (301, location, b"")
        # Another release may have a file of that name.
        assert reply.headers["cache-control"] == "private, no-cache"
        assert token not in str(reply.headers)


def test_a_redirect_tells_strangers_nothing_and_makes_no_folder_up(tree):
    """A file is no folder, and who may not read is not told what there is."""
    assert tree.ask("GET", f"/{CHANNEL}/pool").status == 401
    assert tree.get("VERSION/", "till-1").status == 404
    assert tree.get("nowhere", "till-1").status == 404
    assert tree.get("poo", "till-1").status == 404
    assert tree.ask("GET", "/nothing", machine="till-1").status == 404


def test_wget_mirrors_a_channel_it_was_given_without_the_slash(tree, tmp_path):
    """What a person types who has mirrored a folder of any other server."""
    token = tree.machines["till-1"].read
    url = f"http://127.0.0.1:{tree.ports['gate']}/m/{token}/{CHANNEL}"
    options = ["-r", "-np", "-nH", "-nv", "--cut-dirs=3", "-e", "robots=off", "--tries=1"]
    command = ["wget", *options, "-P", str(tmp_path), url]
    subprocess.run(command, timeout=30, check=False, capture_output=True)

    assert {path: _found(tmp_path, path) for path in FILES} == FILES


def test_curl_and_pythons_own_client_follow(tree):
    """apt-like clients ask for files, and these two for whatever they are given."""
    token = tree.machines["till-1"].read
    url = f"http://127.0.0.1:{tree.ports['gate']}/m/{token}/{CHANNEL}/pool"
    curl = subprocess.run(["curl", "-sSfL", url], timeout=30, check=True, capture_output=True)
    with urllib.request.urlopen(url, timeout=30) as reply:
        page = reply.read()

    assert b"app.bin" in curl.stdout
    assert page == curl.stdout
    assert reply.url == f"{url}/"


def _found(root: Path, path: str) -> bytes | None:
    place = root / path
    return place.read_bytes() if place.is_file() else None

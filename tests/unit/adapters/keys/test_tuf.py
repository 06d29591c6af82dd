"""A TUF root of the operator's own: two keys, and roots that lead from one to the next."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Targets

from firedoor.adapters.keys.tuf import OwnRoot
from firedoor.core.errors import BadConfig, BadInput, Rejected
from firedoor.core.units import UnixMs
from firedoor.formats.tuf import TargetMeta

NOW = UnixMs(1_800_000_000_000)
EXPIRES = dt.datetime(2027, 2, 1, tzinfo=dt.UTC)
TOOL = {"tool": TargetMeta(4, {"sha256": "a" * 64}, {"urgent": True})}


@pytest.fixture
def made(tmp_path: Path) -> OwnRoot:
    return OwnRoot.create(tmp_path / "tuf", NOW, 10)


def role(made: OwnRoot, version: int = 7) -> Metadata[Targets]:
    """The targets of a release, as the newest root has them signed."""
    files = made.signed(TOOL, version, EXPIRES)
    return Metadata[Targets].from_bytes(files[f"metadata/{version}.targets.json"])


def believed(root: bytes, signed: Metadata[Targets]) -> None:
    """Raises where a client that knows this root would refuse."""
    known = Metadata[Root].from_bytes(root).signed
    known.verify_delegate("targets", signed.signed_bytes, signed.signatures)


def test_keys_are_their_owners_alone_and_never_written_over(made: OwnRoot) -> None:
    """Another root under the same name would lock out every client that has the first."""
    for name in ("root.key", "online.key"):
        assert stat.S_IMODE((made.folder / name).stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in made.folder.iterdir()}

    with pytest.raises(Rejected, match="nothing was changed"):
        OwnRoot.create(made.folder, NOW)
    assert {path: path.read_bytes() for path in made.folder.iterdir()} == before


def test_what_is_signed_says_what_the_vendor_said_of_a_target(made: OwnRoot) -> None:
    """Clients choose by it which target is theirs."""
    signed = role(made)

    believed(made.roots[1], signed)
    target = signed.signed.targets["tool"]
    assert (target.length, target.hashes) == (4, {"sha256": "a" * 64})
    assert target.unrecognized_fields == {"custom": {"urgent": True}}
    assert (signed.signed.version, signed.signed.expires) == (7, EXPIRES)


def test_a_key_that_was_seen_is_locked_out_by_the_next_root(made: OwnRoot) -> None:
    """And the root's own key can be replaced in the same way, one root after the other."""
    stolen = role(made)
    second = made.renew(NOW, 20, new_key=True, new_root_key=True)
    third = second.renew(NOW, 30)

    believed(third.roots[3], role(third))
    with pytest.raises(UnsignedMetadataError):
        believed(third.roots[2], stolen)
    for number in (1, 2):
        above = Metadata[Root].from_bytes(third.roots[number]).signed
        root = Metadata[Root].from_bytes(third.roots[number + 1])
        above.verify_delegate("root", root.signed_bytes, root.signatures)
    assert third.expires - made.expires == dt.timedelta(days=20)


def test_the_key_of_the_root_may_lie_elsewhere(made: OwnRoot, tmp_path: Path) -> None:
    """It is needed once a year; in between it is in a safe."""
    away = (made.folder / "root.key").rename(tmp_path / "root.key")

    believed(made.roots[1], role(OwnRoot(made.folder)))
    with pytest.raises(BadConfig, match=r"root\.key"):
        made.renew(NOW)
    assert made.renew(NOW, root_key=away).version == 2

    stranger = OwnRoot.create(tmp_path / "other", NOW)
    with pytest.raises(BadConfig, match="is not the key that the newest root names"):
        made.renew(NOW, root_key=stranger.folder / "root.key")


def test_what_does_not_fit_together_is_told(made: OwnRoot, tmp_path: Path) -> None:
    """A restored backup of one file, a root that was lost, a key that others have read."""
    other = OwnRoot.create(tmp_path / "other", NOW)
    key = (made.folder / "online.key").read_bytes()
    (made.folder / "online.key").write_bytes((other.folder / "online.key").read_bytes())
    with pytest.raises(BadConfig, match="does not name") as refused:
        made.signer()
    assert "--new-key" in refused.value.hint

    (made.folder / "online.key").write_bytes(key)
    (made.folder / "online.key").chmod(0o644)
    with pytest.raises(BadConfig, match=r"online\.key"):
        made.signer()

    made.renew(NOW)
    (made.folder / "1.root.json").unlink()
    with pytest.raises(BadConfig, match="does not have all roots"):
        OwnRoot(made.folder)
    (made.folder / "1.root.json").write_bytes(b"{}")
    (made.folder / "2.root.json").unlink()
    with pytest.raises(BadConfig, match="is none"):
        OwnRoot(made.folder)
    with pytest.raises(BadConfig, match="nowhere cannot be read"):
        OwnRoot(tmp_path / "nowhere")


def test_more_targets_than_a_client_reads_are_refused(made: OwnRoot) -> None:
    """Every client would refuse the role, and with it every update."""
    target = TargetMeta(4, {"sha256": "a" * 64}, {"said": "x" * 60_000})
    many = {str(number): target for number in range(90)}

    with pytest.raises(BadInput, match="90 targets are more than clients read"):
        made.signed(many, 1, EXPIRES)


def test_what_cannot_be_written_down_is_refused(made: OwnRoot) -> None:
    """Canonical JSON has no fractions; a vendor may have said one all the same."""
    with pytest.raises(BadInput, match="cannot be signed"):
        made.signed({"tool": TargetMeta(4, {"sha256": "a" * 64}, {"share": 0.5})}, 1, EXPIRES)

"""Secrets as files: made once, complete, closed to others."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from firedoor.adapters.keys.file import (
    ROOT_KEY_BYTES,
    create_root_key,
    create_signing_key,
    create_token,
    load_public_key,
    load_root_key,
    load_signing_key,
    load_token,
    public_path,
)
from firedoor.core.errors import BadConfig
from firedoor.core.ledger.chain import verify_chain
from firedoor.core.ledger.entry import GENESIS, Entry, Signed, signed_payload
from firedoor.core.units import UnixMs

CREATE = [create_signing_key, create_root_key, create_token]
LOAD = [load_signing_key, load_root_key, load_token]
SECRETS = list(zip(CREATE, LOAD, strict=True))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_signing_key_signs_what_the_ledger_verifies(tmp_path):
    """The two halves of the ledger fit together: signed here, checked in the core."""
    signer = create_signing_key(tmp_path / "ledger.key")
    entry = Entry(0, UnixMs(0), "ledger-opened", {}, GENESIS)

    signed = Signed(entry, signer.sign(signed_payload(entry)))

    assert verify_chain([signed], signer.public_key).sound
    assert verify_chain([signed], load_public_key(tmp_path / "ledger.key.pub")).sound


def test_a_key_that_was_loaded_is_the_key_that_was_made(tmp_path):
    """Every restart has to go on with the same ledger."""
    made = create_signing_key(tmp_path / "ledger.key")

    loaded = load_signing_key(tmp_path / "ledger.key")

    assert loaded.public_key == made.public_key
    assert loaded.sign(b"x") == made.sign(b"x")


def test_openssl_can_check_a_signature_without_firedoor(tmp_path):
    """The public verifies with tools it already has."""
    signer = create_signing_key(tmp_path / "ledger.key")
    (tmp_path / "payload").write_bytes(b"payload")
    (tmp_path / "signature").write_bytes(signer.sign(b"payload"))

    key = ["-pubin", "-inkey", "ledger.key.pub"]
    what = ["-rawin", "-in", "payload", "-sigfile", "signature"]
    checked = subprocess.run(
        ["openssl", "pkeyutl", "-verify", *key, *what],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr


def test_a_root_key_and_a_token_come_back(tmp_path):
    """An admission seed is derived again after every restart; a person pastes the token."""
    root, token = create_root_key(tmp_path / "root.key"), create_token(tmp_path / "token")

    assert load_root_key(tmp_path / "root.key") == root
    assert load_token(tmp_path / "token") == token
    assert len(root) == ROOT_KEY_BYTES
    assert (tmp_path / "token").read_text() == token + "\n"


@pytest.mark.parametrize("create", CREATE)
def test_no_two_secrets_are_alike(tmp_path, create):
    """Chance comes from the system, never from a seed."""
    create(tmp_path / "one")
    create(tmp_path / "two")

    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize(("create", "load"), SECRETS)
def test_a_secret_is_closed_to_others_whatever_the_umask(tmp_path, create, load, umask):
    """A careless shell must not open the key, a strict one not lock its owner out."""
    before = os.umask(umask)
    try:
        create(tmp_path / "secret")
    finally:
        os.umask(before)

    assert mode(tmp_path / "secret") == 0o600
    assert load(tmp_path / "secret")


def test_the_public_half_is_open_to_everyone(tmp_path):
    """Whoever checks the ledger needs no rights on the key."""
    create_signing_key(tmp_path / "ledger.key")

    assert mode(public_path(tmp_path / "ledger.key")) == 0o644


@pytest.mark.parametrize("create", CREATE)
def test_nothing_is_left_beside_a_secret(tmp_path, create):
    """A second copy of a key in a hidden file is a second key to lose."""
    create(tmp_path / "secret")

    assert {path.name for path in tmp_path.iterdir()} <= {"secret", "secret.pub"}


@pytest.mark.parametrize("create", CREATE)
def test_a_secret_is_never_overwritten(tmp_path, create):
    """A second `firedoor init` must not orphan the ledger and the seeds of the first."""
    create(tmp_path / "secret")
    before = (tmp_path / "secret").read_bytes()

    with pytest.raises(BadConfig, match="there already") as refused:
        create(tmp_path / "secret")

    assert refused.value.hint
    assert (tmp_path / "secret").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"secret", "secret.pub"}


def test_a_signing_key_is_not_made_beside_the_public_half_of_another(tmp_path):
    """Half a pair on the disk means that somebody has to look first."""
    create_signing_key(tmp_path / "ledger.key")
    (tmp_path / "ledger.key").unlink()

    with pytest.raises(BadConfig, match="there already"):
        create_signing_key(tmp_path / "ledger.key")

    assert not (tmp_path / "ledger.key").exists()


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o660, 0o602, 0o610, 0o601])
@pytest.mark.parametrize(("create", "load"), SECRETS)
def test_a_secret_open_to_others_is_refused(tmp_path, create, load, rights):
    """Nobody can tell whether an open key was read; the refusal says what to do."""
    create(tmp_path / "secret")
    (tmp_path / "secret").chmod(rights)

    with pytest.raises(BadConfig, match=f"mode {rights:04o}") as refused:
        load(tmp_path / "secret")

    assert "chmod 600" in refused.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_refused(tmp_path):
    """Its owner can change it at any time, whatever its mode."""
    create_token(tmp_path / "token")
    os.chown(tmp_path / "token", 12345, -1)

    with pytest.raises(BadConfig, match="belongs to user 12345"):
        load_token(tmp_path / "token")


@pytest.mark.parametrize(("create", "load"), SECRETS)
def test_a_missing_secret_says_how_to_make_it(tmp_path, create, load):
    """The first start of a newcomer ends here; the hint is the way on."""
    with pytest.raises(BadConfig, match="missing") as refused:
        load(tmp_path / "secret")

    assert "firedoor init" in refused.value.hint
    with pytest.raises(BadConfig, match="missing"):
        create(tmp_path / "no" / "folder")


@pytest.mark.parametrize("load", LOAD)
def test_a_path_that_is_no_file_is_refused_at_once(tmp_path, load):
    """A pipe at the path must not stop the start for ever."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)

    for name in ("pipe", "folder"):
        with pytest.raises(BadConfig):
            load(tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret\n", b"\xff" * 64, b"0" * 63 + b"!", b"0" * 20_000]
)
@pytest.mark.parametrize("load", LOAD)
def test_a_file_that_holds_something_else_is_refused(tmp_path, load, content):
    """A wrong path must be told apart from a right one before anything is signed with it."""
    (tmp_path / "secret").write_bytes(content)
    (tmp_path / "secret").chmod(0o600)

    with pytest.raises(BadConfig) as refused:
        load(tmp_path / "secret")

    assert str(tmp_path / "secret") in str(refused.value)


@pytest.mark.parametrize("load", [*LOAD, load_public_key])
def test_a_disk_image_is_not_read_as_a_key(tmp_path, load):
    """A slip in a path must not fill the memory."""
    with (tmp_path / "image").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "image").chmod(0o600)

    with pytest.raises(BadConfig, match="has more than"):
        load(tmp_path / "image")


def test_keys_of_another_kind_are_refused(tmp_path):
    """An encrypted key would need a passphrase at every start; another curve does not verify."""
    encrypted = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )
    curve = generate_private_key(SECP256R1())
    other = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    for content in (encrypted, other):
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(0o600)
        with pytest.raises(BadConfig, match="private key"):
            load_signing_key(tmp_path / "key")
    (tmp_path / "pub").write_bytes(public)
    with pytest.raises(BadConfig, match="public key"):
        load_public_key(tmp_path / "pub")


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path):
    """Readers would check the ledger with a key that never signed it."""
    create_signing_key(tmp_path / "one")
    create_signing_key(tmp_path / "two")
    public_path(tmp_path / "two").replace(public_path(tmp_path / "one"))

    with pytest.raises(BadConfig, match="not the public half"):
        load_signing_key(tmp_path / "one")


def test_a_lost_public_half_is_made_again(tmp_path):
    """A crash between the two files of a pair heals itself at the next start."""
    signer = create_signing_key(tmp_path / "ledger.key")
    public_path(tmp_path / "ledger.key").unlink()

    load_signing_key(tmp_path / "ledger.key")

    assert load_public_key(public_path(tmp_path / "ledger.key")) == signer.public_key


def test_a_signer_shows_only_its_public_half(tmp_path):
    """Whatever is logged or raised with it, the private half is not in it."""
    signer = create_signing_key(tmp_path / "ledger.key")

    assert repr(signer) == f"Signer({signer.public_key.hex()})"
    assert not hasattr(signer, "__dict__")
    Ed25519PublicKey.from_public_bytes(signer.public_key).verify(signer.sign(b"x"), b"x")

"""TUF repositories: names of files, when a role expires, and what a release of targets is.

A repository renews its timestamp every day and signs its roles anew now and then, and nothing of
that changes what a client installs. So a release is known by one file of our own, ``content.json``:
every target that a client can find, with its length, its digests and what the vendor says of it.

Nothing here checks a signature; whoever calls has done that.

Source: TUF specification 1.0.34, 4 (document formats), 6 (consistent snapshots).
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from firedoor.core.errors import BadInput

METADATA: Final = "metadata/"
"""Where a channel has the files of all roles."""

TARGETS: Final = "targets/"
"""Where it has the targets."""

CONTENT: Final = "content.json"
"""What a release of targets is."""

TIMESTAMP: Final = f"{METADATA}timestamp.json"
"""The one file of a role that never has a version in its name."""

_ROLE_FILE: Final = re.compile(r"(?:([1-9][0-9]{0,17})\.)?(.+)\.json", re.DOTALL)


class TargetMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target as a role describes it.

    Attributes:
        length: Bytes, >= 0.
        hashes: Digest by algorithm, lower-case hexadecimal, in the vendor's order.
        custom: What else the vendor says of it, for its clients; None for nothing.
    """

    length: int
    hashes: dict[str, str]
    custom: dict[str, Any] | None = None


class _Signed(msgspec.Struct, frozen=True):
    expires: dt.datetime


class _Envelope(msgspec.Struct, frozen=True):
    signed: _Signed


@dataclass(frozen=True, slots=True)
class RoleFile:
    """What the name of a role's file says.

    Attributes:
        role: ``root``, ``timestamp``, ``snapshot``, ``targets``, or that of a delegated role.
        version: >= 1, or 0 where the name has none.
    """

    role: str
    version: int


def role_file(path: str) -> RoleFile | None:
    """What the path of a file below ``metadata/`` says, or None if it is none of a role."""
    found = _ROLE_FILE.fullmatch(path.removeprefix(METADATA))
    if not path.startswith(METADATA) or found is None:
        return None
    return RoleFile(found[2], int(found[1] or 0))


def role_path(role: str, version: int = 0) -> str:
    """Where a channel has the file of a role; version 0: without one in its name."""
    return f"{METADATA}{version}.{role}.json" if version else f"{METADATA}{role}.json"


def newest(paths: Iterable[str]) -> dict[str, str]:
    """Of each role the path of its newest file; those that are no role's are left out."""
    found: dict[str, tuple[int, str]] = {}
    for path in paths:
        file = role_file(path)
        if file is not None:
            found[file.role] = max(found.get(file.role, (-1, "")), (file.version, path))
    return {role: path for role, (_, path) in found.items()}


def target_paths(name: str, hashes: Mapping[str, str], *, prefixed: bool) -> tuple[str, ...]:
    """Where clients ask for a target: under one name, or under one for each of its digests.

    Args:
        name: Of the target, as its role has it.
        hashes: As in ``TargetMeta``.
        prefixed: The repository has consistent snapshots.
    """
    if not prefixed:
        return (TARGETS + name,)
    folder, slash, last = name.rpartition("/")
    return tuple(f"{TARGETS}{folder}{slash}{digest}.{last}" for digest in hashes.values())


def content(targets: Mapping[str, TargetMeta]) -> bytes:
    """``content.json`` of these targets; the same for the same targets."""
    plain = {name: msgspec.to_builtins(target) for name, target in targets.items()}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def parse_content(data: bytes) -> dict[str, TargetMeta]:
    """Read what ``content`` wrote.

    Raises:
        BadInput: It is something else.
    """
    try:
        return msgspec.json.decode(data, type=dict[str, TargetMeta])
    except msgspec.DecodeError as error:
        raise BadInput(f"{CONTENT} cannot be read: {error}") from error


def parse_expires(data: bytes) -> dt.datetime:
    """When clients refuse a role's file, UTC.

    Raises:
        BadInput: It does not say.
    """
    try:
        moment = msgspec.json.decode(data, type=_Envelope).signed.expires
    except msgspec.DecodeError as error:
        raise BadInput(f"no role of a repository: {error}") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)

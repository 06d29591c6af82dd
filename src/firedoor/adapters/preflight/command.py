"""A release before a program of the operator: what it is content with, passes."""

from collections.abc import Sequence
from pathlib import Path

from firedoor.adapters.preflight.look import NEW, Look, failed, passed, stopped, unchecked
from firedoor.adapters.preflight.sandbox import installed
from firedoor.services.preflight import Check


def look(given: Look, command: Sequence[str]) -> Check:
    """Run it in the directory of the release; it fails the release by its exit status."""
    name = Path(command[0]).name
    if not installed(command[0]):
        return unchecked(f"{command[0]} is not there or cannot be run: see preflight_command")
    ran = given.sandbox.run(command, within=NEW)
    if found := stopped(name, ran):
        return found
    if ran.code:
        return failed(f"{name} ended with status {ran.code}: {ran.last()}")
    return passed(f"{name} is content")

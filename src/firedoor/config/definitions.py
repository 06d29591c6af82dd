"""The signal definitions in force: those that are shipped, after an operator's own."""

from importlib import resources
from pathlib import Path
from typing import Final

from firedoor.core.definition import Definitions
from firedoor.core.errors import BadConfig, BadInput
from firedoor.formats.definitions import definitions, joined

SHIPPED: Final = "signals.toml"


def shipped() -> Definitions:
    """The table that comes with Firedoor."""
    return definitions(resources.files("firedoor.config").joinpath(SHIPPED).read_text("utf-8"))


def in_force(own: Path | None) -> Definitions:
    """The shipped table, after an operator's own file if there is one.

    Raises:
        BadConfig: The file cannot be read, or is no table of definitions.
    """
    if own is None:
        return shipped()
    try:
        return joined(definitions(own.read_text("utf-8")), shipped())
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{own} cannot be read: {error}") from None
    except BadInput as error:
        raise BadConfig(f"{own}: {error}", hint=error.hint) from None

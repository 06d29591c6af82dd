"""Options that many commands share, and the one way in which the configuration is found."""

from pathlib import Path
from typing import Annotated, Final

import typer

from firedoor.core.errors import BadConfig

PLACES: Final = (Path("firedoor.toml"), Path("/etc/firedoor/firedoor.toml"))
"""Where a configuration is looked for when none is named, in this order."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        envvar="FIREDOOR_CONFIG",
        show_default=False,
        help="Configuration file; else ./firedoor.toml, else /etc/firedoor/firedoor.toml.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        show_default=False,
        help="Data directory, instead of the one in the configuration.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def find(config: Path | None) -> Path:
    """The configuration file that holds.

    Raises:
        BadConfig: None was named, and there is none in the usual places.
    """
    if config is not None:
        return config
    found = next((path for path in PLACES if path.exists()), None)
    if found is None:
        looked = " nor ".join(str(path) for path in PLACES)
        raise BadConfig(
            f"there is no configuration: neither {looked}",
            hint="firedoor init writes one; --config PATH names another",
        )
    return found

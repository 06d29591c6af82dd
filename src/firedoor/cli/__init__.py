"""The command line."""

import typer

from firedoor.cli import run

app = typer.Typer()
run.register(app)


def main() -> None:
    """Run it."""
    app()

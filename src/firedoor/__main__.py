"""``python -m firedoor``."""

from firedoor.cli import main

main()

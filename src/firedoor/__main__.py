"""``python -m firedoor``."""

import sys

from firedoor.cli import main

sys.exit(main())

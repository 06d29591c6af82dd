"""When a process looks for objects that only hold each other."""

import gc
from typing import Final

_YOUNG: Final = 200_000
"""Objects by which there are more before the youngest are looked through.

Requests and looks at upstream leave none that only hold each other. But a hundred thousand objects
wait in a storm of polls, and as many are made of a distribution's index; to look through them each
time took an eighth of the gate's time, and a third of a look at Debian's packages.
"""


def seldom_look() -> None:
    """What there is now stays and is not looked through; of what comes, the youngest seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)

"""Good releases that take effect at a boot, in fleets where machines fail and go away anyway.

Every run is a fleet of its own on real stores: machines poll each minute and boot once an hour,
one boot in fifty is unclean, and each is off for half an hour now and then. The first release is
walked, the second is looked at by what the first one's boots took. Counted is what becomes of both.

    python -m tests.bench.restarts --runs 300
"""

import argparse
import random
from collections import Counter

from tests.booting import BOOT, Booting
from tests.loop import memory

from firedoor.core.door import State

_DONE = (State.OPEN, State.SHUT)
_UNCLEAN = 0.02
_OFF = 1 / 2_000
_OFF_MINUTES = 30


class Failing(Booting):
    """Machines whose boots are unclean at times, and that are off at times."""

    chance: random.Random
    back: dict[int, int]

    def bucket(self, count: int = 1, *, gate: bool = True, intake: bool = True) -> None:
        """Before each minute some go and others come back."""
        for _ in range(count):
            for machine in [each for each, at in self.back.items() if at <= self._buckets]:
                del self.back[machine]
                self.dead.discard(machine)
            for machine in self.machines:
                if machine not in self.dead and self.chance.random() < _OFF:
                    self.dead.add(machine)
                    self.back[machine] = self._buckets + _OFF_MINUTES
            self.kind = "boot-unclean" if self.chance.random() < _UNCLEAN else "boot-clean"
            super().bucket(gate=gate, intake=intake)


def run(seed: int, machines: int, most: int) -> tuple[str, str]:
    """What became of two good releases, the door's state and reason each."""
    with memory() as folder:
        loop = Failing(folder, machines, soak="10m", policy=BOOT)
        loop.holds, loop.back, loop.chance = {}, {}, random.Random(seed)
        loop.settle_in(120)
        loop.beat(loop.machines)
        became = []
        for number, version in ((2, "2"), (3, "3")):
            loop.publish(version)
            for _ in range(most):
                loop.bucket()
                if loop.door(number).state in _DONE:
                    break
            door = loop.door(number)
            became.append(f"{door.state.value} {door.reason.value if door.reason else ''}".strip())
            if door.state not in _DONE:
                loop.order("expedite", release=loop.release_of(number), reason="too long")
        loop.close()
    return became[0], became[1]


def main() -> None:
    """Run and count."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=300)
    asked.add_argument("--machines", type=int, default=60)
    asked.add_argument("--most", type=int, default=6_000, help="minutes a release is given")
    asked.add_argument("--seed", type=int, default=1)
    told = asked.parse_args()
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for number in range(told.runs):
        for count, became in zip(
            counts, run(told.seed + number, told.machines, told.most), strict=True
        ):
            count[became] += 1
    for name, count in zip(("first release", "second release"), counts, strict=True):
        print(f"{name}: {dict(count.most_common())}")


if __name__ == "__main__":
    main()

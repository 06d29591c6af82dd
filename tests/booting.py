"""A loop whose machines install at once and use what they installed from their next boot on."""

from pathlib import Path

from tests.loop import AV, Loop

from firedoor.core.door import Reason, State
from firedoor.services.places import Installed

BOOT = 'takes_effect = "boot"'
_DONE = (State.OPEN, State.SHUT)


class Booting(Loop):
    """Whoever draws a card installs at once, and boots every ``every`` minutes.

    A release that is deadly kills at the boot: its machine is never heard again.
    """

    every = 60
    kind = "boot-clean"
    mute: frozenset[int] = frozenset()
    holds: dict[int, str]

    def poll(self, machine: int) -> int:
        """The release is on the disk, and in use from the next boot on."""
        deadly, self.deadly = self.deadly, set()
        known = len(self._installed)
        number = super().poll(machine)
        self.deadly = deadly
        for done in self._installed[known:]:
            self.holds[done.machine] = self.release_of(done.number)
        return number

    def bucket(self, count: int = 1, *, gate: bool = True, intake: bool = True) -> None:
        """Before each minute those boot whose turn it is."""
        for _ in range(count):
            for machine in self.machines:
                if (self._buckets + 7 * machine) % self.every or machine in self.dead:
                    continue
                if self.holds.get(machine) in self.deadly:
                    self.dead.add(machine)
                elif machine not in self.mute:
                    self.crash(machine, kind=self.kind)
            super().bucket(gate=gate, intake=intake)

    def fetch(self, machine: int, number: int) -> None:
        """A machine gets one more file of a release."""
        self._installed.append(Installed(AV, number, machine, self.clock.mono_ms))

    def until_over(self, number: int, most: int) -> State:
        """Minutes pass until the door has ended, stands still, or time is up."""
        for _ in range(most):
            self.bucket()
            door = self.door(number)
            if door.state in _DONE or door.reason is Reason.BUDGET_SPENT:
                break
        return self.door(number).state


def booting(
    folder: Path,
    machines: int,
    *,
    every: int = 60,
    policy: str = BOOT,
    soak: str = "10m",
    settled: int = 8,
) -> Booting:
    """One whose first release is open, and whose machines boot every ``every`` minutes."""
    loop = Booting(folder, machines, soak=soak, policy=policy)
    loop.every, loop.holds = every, {}
    loop.settle_in(settled)
    return loop

"""Steps that rehearsals of the judge share: wait for a door, look at its cells."""

from tests.loop import AV, Loop

from firedoor.core.cell import Cell, Test
from firedoor.core.door import Reason, State


def at(loop: Loop, number: int, ring: str = "everyone") -> tuple[State, Reason]:
    """Where a door stands, and why."""
    door = loop.door(number, ring)
    return door.state, door.reason


def until(loop: Loop, number: int, *states: State, ring: str = "everyone", most: int = 100) -> None:
    """Let time pass until a door is in one of these states."""
    for _ in range(most):
        loop.bucket()
        if loop.door(number, ring).state in states:
            return
    raise AssertionError(f"{loop.door(number, ring)} after {most} buckets")


def harm_cells(loop: Loop, number: int, signal: str = "silence") -> list[Cell]:
    """Cells of one signal in which somebody was harmed."""
    return [
        cell
        for cell in loop.store.cells(AV, number)
        if cell.test is Test.HARM and cell.signal == signal
    ]


def clear_cells(loop: Loop, number: int) -> list[Cell]:
    """Cells of classes that have closed."""
    return [cell for cell in loop.store.cells(AV, number) if cell.test is Test.CLEARANCE]


def slow_fleet(loop: Loop) -> None:
    """Everybody polls each ten minutes, so a deck is left open for as long."""
    loop.period = dict.fromkeys(loop.machines, 10)
    loop.settle_in(80)

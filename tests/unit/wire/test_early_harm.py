"""Who came to harm before its class had matured: machines at risk are counted once."""

from pathlib import Path

from tests.loop import AV, Loop, memory

from firedoor.wire.explaining import early_harm


def fleet(folder: Path) -> Loop:
    loop = Loop(folder, 600, policy="delta = 0.01", soak="2h")
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    return loop


def early(loop: Loop) -> tuple[int, int]:
    return early_harm(loop.store, loop.gate, loop.train.lines[AV][2].boarding)


def test_whoever_crashes_before_its_deadline_is_early_until_its_class_has_matured() -> None:
    """It is neither in flight nor matured, and is at risk of the signal all the same."""
    with memory() as folder:
        loop = fleet(folder)
        loop.crash(loop.treated(2)[0], *loop.control(2)[:2])
        loop.bucket(2)
        assert early(loop) == (1, 2)
        loop.bucket(8)
        assert loop.numbers(2).matured > 0
        assert early(loop) == (0, 0)
        loop.close()


def test_whoever_is_harmed_after_it_has_matured_is_not_at_risk_twice() -> None:
    """Else "crashed 0 of 183" is said where 182 have matured."""
    with memory() as folder:
        loop = fleet(folder)
        loop.bucket(8)
        assert loop.flight(2).pools, "its members are watched for late harm"
        matured = loop.verdict(2).matured
        loop.crash(loop.treated(2)[0], loop.control(2)[0])
        loop.bucket()
        assert sum(stream.treated_harmed for stream in loop.verdict(2).streams) == 1
        assert loop.verdict(2).matured == matured
        assert early(loop) == (0, 0)
        loop.close()

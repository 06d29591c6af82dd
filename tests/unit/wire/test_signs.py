from pathlib import Path

from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import Delivery, SignalEvent
from firedoor.services.records import Bucket
from firedoor.wire.signs import Signs

BUCKET_MS = 5_000


def test_the_gate_heard_a_machine_at_the_beginning_of_its_bucket_as_far_as_anyone_knows(
    tmp_path: Path,
) -> None:
    """A sign of life told too late would make a machine look as if it had survived something."""
    clock, signs = HandClock(), Signs(BUCKET_MS)
    writer = GateWriter(tmp_path)
    writer.flush(Bucket("run", False, (3, 2_000), (), (), (), (), 1), clock.now())
    reader = GateReader(tmp_path)

    signs.listen(None, reader, None)

    assert signs.last_ms(3) == signs.last_ms(2_000) == clock.wall_ms - BUCKET_MS
    assert signs.last_ms(4) == signs.last_ms(1_000_000) == 0
    reader.close()
    writer.close()


def test_signals_tell_who_lives_who_beats_and_what_befell_it(tmp_path: Path) -> None:
    """The intake knows of machines that poll rarely, and in which words they complained."""
    clock, signs = HandClock(), Signs(BUCKET_MS)
    store = SignalDatabase(tmp_path / "intake.db")
    reader = SignalReader(tmp_path / "intake.db")
    begun = clock.wall_ms
    store.append(clock.now(), [Delivery([MachineNo(1)], ())])
    store.mark([MachineNo(1)], Reports.BEATS)
    signs.listen(None, None, reader)

    for kind in ("boot-clean", "bugcheck", "panic"):
        clock.pass_ms(1_000)
        event = SignalEvent(MachineNo(2), kind, UnixMs(clock.wall_ms), kind, None)
        store.append(clock.now(), [Delivery((), (event,))])
    store.mark([MachineNo(1)], Reports.TELLS)
    beat = signs.reports(1)
    signs.listen(None, None, reader)

    assert (beat, signs.reports(1)) == (Reports.BEATS, Reports.TELLS)
    assert (signs.last_ms(1), signs.last_ms(2)) == (begun, clock.wall_ms)
    assert signs.harm_kind(2, "crash", begun, clock.wall_ms) == "bugcheck"
    assert signs.harm_kind(2, "crash", begun + 2_000, clock.wall_ms) == "panic"
    assert signs.harm_kind(2, "check", begun, clock.wall_ms) == "check"
    reader.close()
    store.close()

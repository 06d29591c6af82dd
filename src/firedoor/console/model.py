"""What the console reads and asks for: the views; ``console.reading`` has who provides them.

The field names are the JSON names of the API. Times are wall clock in milliseconds since 1970
(``_ms``), shares and bounds are in [0, 1], ``log_e`` is a natural logarithm. ``""`` stands for
"nobody" or "none" where the field is text, ``None`` where it is a number.
"""

from enum import StrEnum

import msgspec

from firedoor.console.inventory import InventoryView
from firedoor.console.urgent import ExploitedView, LaneView, WaitingOrder
from firedoor.core.cell import Cell
from firedoor.core.door import Reason, State
from firedoor.core.evidence.past import PastBucket
from firedoor.core.terms import TakesEffect
from firedoor.services.naming import Named


class UndoView(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the clients of a channel can be undone.

    Attributes:
        verb: ``contain``, ``revert`` or ``remedy``.
        how: What Firedoor does, and what the client does then, in English.
    """

    verb: str
    how: str


class PreflightView(msgspec.Struct, frozen=True, kw_only=True):
    """What the vendor's own tool said of a release before the first machine got it.

    Attributes:
        result: ``passed``, ``failed``, ``not checked`` (the tool is missing, or no sandbox can be
            made), or ``off``.
        sentence: What was found, in English: a tool's words; ``""`` where it is off.
        took_ms: How long that took.
        at_ms: When it had ended, None where it is off.
    """

    result: str = "off"
    sentence: str = ""
    took_ms: int = 0
    at_ms: int | None = None


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """One channel.

    Attributes:
        name: Name in the configuration.
        kind: ``files``, ``apt``, ``rpm``, ``clamav``, ``suricata`` or ``tuf``.
        upstream: Where the vendor publishes, without credentials.
        state: One English sentence for a person, ``""`` when there is nothing to say.
        last_sync_ms: Last successful look at the upstream, or None.
        last_error: Why the last look failed, ``""`` after a success.
        serving: Release every machine gets that has no newer one, or None before the first.
        in_flight: Release whose doors have not ended, or None.
        waiting: Snapshot ids that wait to board, oldest first.
        skipped: Snapshot ids that never boarded because a newer one did, newest first.
        machines: Active machines: polled this channel in the last 7 days.
        unknown: Addresses of clients that are not enrolled and read this channel in that time.
        pinned: Ring name to the release it is pinned to; while there is one nothing boards.
        blocked: Whether the next release boards only when a person resumes the channel.
        blocked_by: Why: "bad ends", "gate records lost", "ledger lost", "preflight failed" or "".
        refused: What the vendor offers now, if it was shut and so does not board again.
        mode: ``enforce``, or ``shadow``: releases that board now are judged and not held.
        undo: How its clients can be undone; to contain is always among it.
        served_nothing: What a client does that is served nothing, where that is easily overlooked.
        preflight: What is known of what the vendor offers now, while it waits to board; else None.
    """

    name: str
    kind: str
    upstream: str
    state: str = ""
    last_sync_ms: int | None = None
    last_error: str = ""
    serving: str | None = None
    in_flight: str | None = None
    waiting: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    machines: int = 0
    unknown: int = 0
    pinned: dict[str, str] = {}
    blocked: bool = False
    blocked_by: str = ""
    refused: str = ""
    mode: str = "enforce"
    undo: tuple[UndoView, ...] = ()
    served_nothing: str = ""
    preflight: PreflightView | None = None


class DoorView(msgspec.Struct, frozen=True, kw_only=True):
    """The door of a release in one ring.

    Attributes:
        state: Where it is.
        reason: Why.
        since_ms: When it got there.
        by: Person who last acted on it.
        note: That person's reason, or the numbers that decided, in an English sentence.
        machines: Active machines of the ring.
        unknown: Clients that are not enrolled and get what this ring has open: they try nothing.
        admitted: Treated machines so far: they were answered from this release.
        control: Machines followed on the previous release for comparison.
        in_flight: Admitted machines whose outcome is not known yet; takes a slot each.
        matured: Admitted machines whose outcome is known and good.
        harmed: Admitted machines that came to harm; keep their slot.
        waiting: Those in flight that had not installed when their deck was looked at.
        dormant: Admitted machines that do not fetch the content; more than a window take slots.
        budget: Harm budget B, machines.
        window: Slots there are now: floor(B / harm_upper), machines.
        harm_upper: U_t, upper bound of the excess harm per installed machine.
        shadow: It holds nothing: its moves are what evidence would have done.
        lane: The part of the budget that ends by itself, None for none.
    """

    state: State
    reason: Reason
    since_ms: int
    by: str = ""
    note: str = ""
    machines: int = 0
    unknown: int = 0
    admitted: int = 0
    control: int = 0
    in_flight: int = 0
    matured: int = 0
    harmed: int = 0
    waiting: int = 0
    dormant: int = 0
    budget: int = 1
    window: int = 1
    harm_upper: float = 1.0
    shadow: bool = False
    lane: LaneView | None = None


class Judgement(StrEnum):
    """What the evidence says of a release."""

    UNDECIDED = "undecided"
    CLEARED = "cleared"
    HARMFUL = "harmful"


class VerdictSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict in five numbers.

    Attributes:
        state: What the evidence says.
        log_e_harm: Evidence against "no worse than before".
        log_e_clear: Evidence against "worse by delta or more".
        harm_upper: U_t over all rings.
        harm_lower: Excess harm per installed machine that is known at least, in [0, harm_upper].
        forecast_s: Seconds until a decision is to be expected, or None if nobody can say.
    """

    state: Judgement
    log_e_harm: float
    log_e_clear: float
    harm_upper: float
    harm_lower: float = 0.0
    forecast_s: int | None = None


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """The lines the evidence is held against.

    Attributes:
        log_e_shut: ln(1/alpha_harm): at or above it the door shuts.
        log_e_warn: ln(1/alpha_warn): at or above it no door opens.
        delta: At or below it ``harm_upper`` opens the door.
        log_e_ratio: ln(1/alpha_clear): at or above it the evidence against the policy's ratio
            opens the door as well; None where the policy has none.
    """

    log_e_shut: float
    log_e_warn: float
    delta: float
    log_e_ratio: float | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How a release differs from the one before it, files."""

    added: int = 0
    changed: int = 0
    removed: int = 0


class ReleaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One boarding of a release.

    Attributes:
        id: Release id, 64 hexadecimal digits.
        channel: Its channel.
        number: Boarding number, from 1. Content that boards again gets a new number.
        created_ms: When it boarded.
        door: Ring name to door, in the order of the configuration.
        verdict: What the evidence says so far.
        thresholds: The lines it is held against.
        harmed: Machines harmed, over all rings.
        exposed: Machines admitted, over all rings.
        artefacts: What changed against ``previous``.
        size_bytes: Size of all its files together.
        previous: Release its machines came from, ``""`` for a channel's first.
        orders: Orders about it that wait for a second person, oldest first.
        cves: How many vulnerabilities it names, as far as is known.
        exploited: Those of them that are known to be exploited, by identifier.
        preflight: What was found before the first machine got it.
        takes_effect: From when on a machine counts as having installed it.
    """

    id: str
    channel: str
    number: int
    created_ms: int
    door: dict[str, DoorView]
    verdict: VerdictSummary
    thresholds: Thresholds
    harmed: int = 0
    exposed: int = 0
    artefacts: Changes = Changes()
    size_bytes: int = 0
    previous: str = ""
    orders: tuple[WaitingOrder, ...] = ()
    cves: int = 0
    exploited: tuple[ExploitedView, ...] = ()
    preflight: PreflightView = PreflightView()
    takes_effect: TakesEffect = TakesEffect.INSTALL


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """The machines with one value of one attribute, in one stream.

    Attributes:
        attribute: Name of the attribute, such as ``model``.
        value: Its value.
        treated_harmed: Treated machines harmed.
        control_harmed: Control machines harmed.
        expected: Treated machines that chance would have harmed.
        log_e: The group's e-process now.
    """

    attribute: str
    value: str
    treated_harmed: int
    control_harmed: int
    expected: float
    log_e: float


class StreamView(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of evidence: the sums of its cells, and what they amount to.

    Attributes:
        test: ``harm`` or ``clearance``.
        signal: ``silence``, ``crash``, ``check``, or ``any``.
        stratum: ``""``: a stream is of all machines together.
        treated: Sum over its cells of treated machines at risk.
        control: Likewise of control machines.
        treated_harmed: Likewise of treated machines harmed.
        control_harmed: Likewise of control machines harmed.
        installed: Likewise of installed machines; clearance only.
        log_e: Its e-process now.
        watched: Whether enough machines' sources reported for it to count.
        groups: Values of the channel's strata with harmed machines, worst first; harm only.
    """

    test: str
    signal: str
    stratum: str = ""
    treated: int = 0
    control: int = 0
    treated_harmed: int = 0
    control_harmed: int = 0
    installed: int = 0
    log_e: float = 0.0
    watched: bool = True
    groups: tuple[GroupView, ...] = ()


class VerdictView(VerdictSummary, frozen=True, kw_only=True):
    """The verdict with everything it was computed from.

    Attributes:
        release: Release id.
        thresholds: The lines it is held against.
        alpha_harm: Chance that evidence ever shuts a good release.
        alpha_warn: The same for the warning level.
        alpha_clear: Chance that ``harm_upper`` is ever below the truth; the same for
            ``harm_lower`` above it.
        randomised: Whether chance chose who was treated; without it the guarantee is void. None
            where the doors opened by decree before anybody drew a card: nothing was compared.
        sentence: The verdict in an English sentence with its numbers.
        streams: Every stream, watched or not.
        guilty: Groups named as harmed, by e-BH over the evidence now: at most 5 % innocents are
            expected among them.
        cells: Every closing in order: the verdict is a fold over them.
        log_e_history: Evidence against "no worse than past good releases"; 0 without a past.
        frozen: The controls are above the past themselves: an outage, not the release.
        past: What past good releases showed, fixed when the release boarded.
        ratio: Odds ratio of harm whose exclusion opens the door as well: ``policy.ratio`` when
            the release boarded; None without one.
        log_e_ratio: Evidence against odds of harm that are that many times the control's; 0
            without one.
    """

    release: str
    thresholds: Thresholds
    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    randomised: bool | None = None
    sentence: str = ""
    streams: tuple[StreamView, ...] = ()
    guilty: tuple[Named, ...] = ()
    cells: tuple[Cell, ...] = ()
    log_e_history: float = 0.0
    frozen: bool = False
    past: tuple[PastBucket, ...] = ()
    ratio: float | None = None
    log_e_ratio: float = 0.0


class Arm(StrEnum):
    """Which part a machine has in the comparison."""

    TREATED = "treated"
    CONTROL = "control"
    LATER = "later"


class Condition(StrEnum):
    """How an exposed machine is doing."""

    IN_FLIGHT = "in flight"
    DORMANT = "dormant"
    HEALTHY = "healthy"
    HARMED = "harmed"
    REJECTED = "rejected"


class ExposureView(msgspec.Struct, frozen=True, kw_only=True):
    """One machine and one release.

    Attributes:
        machine: Name of the machine.
        channel: Channel of the release.
        release: Release id.
        ring: Ring the machine is in.
        arm: Its part in the comparison.
        deck: Number of the deck it drew from, or None.
        since_ms: When it was enrolled.
        state: How it is doing.
        harm: Signal kind that counted it as harmed (``silence``, ``boot-unclean`` ..), or ``""``.
        undo: ``contained``, ``reverted``, ``needs remedy``, or ``""`` while its door is not shut.
    """

    machine: str
    channel: str
    release: str
    ring: str
    arm: Arm
    deck: int | None
    since_ms: int
    state: Condition
    harm: str = ""
    undo: str = ""


class MachineView(msgspec.Struct, frozen=True, kw_only=True):
    """One machine.

    Attributes:
        name: Its name.
        attributes: What the operator set at enrolment.
        identities: What its own tools call it, by kind (``machine-id``, ``host-name``, ..).
        told: Attributes it tells of itself; ``attributes`` come before them.
        inventory: What it has, by part.
        stratum: Stratum it is compared in.
        enrolled_ms: When it was enrolled.
        last_seen_ms: Last sign of life, or None.
        restarted_ms: When it last told of a boot or of a start of a service, or None.
        volatile: Whether its journal lies in memory alone, or None where it sends none.
        heartbeats: Whether it sends heartbeats.
        tells: Whether what it tells counts: its logs or events come, or heartbeats.
        benched: It is in the penalty box: no card, and a release when everybody gets it.
        revoked: Whether its tokens were revoked.
        rings: Channel name to ring name.
        serving: Channel name to the release it gets now.
        exposures: Its releases, newest first.
    """

    name: str
    attributes: dict[str, str] = {}
    identities: dict[str, tuple[str, ...]] = {}
    told: dict[str, str] = {}
    inventory: dict[str, InventoryView] = {}
    stratum: str = ""
    enrolled_ms: int = 0
    last_seen_ms: int | None = None
    restarted_ms: int | None = None
    volatile: bool | None = None
    heartbeats: bool = False
    tells: bool = False
    benched: bool = False
    revoked: bool = False
    rings: dict[str, str] = {}
    serving: dict[str, str] = {}
    exposures: tuple[ExposureView, ...] = ()


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger.

    Attributes:
        index: Its place in the ledger, rising, without gaps; the SSE id.
        time_ms: When it was decided.
        kind: Kind of entry, as the ledger has it.
        channel: Channel it concerns.
        release: Release id, or ``""``.
        number: Boarding number, 0 where no release is concerned.
        ring: Ring name, or ``""`` for all.
        state: State of the door afterwards, or None where no door moved.
        reason: Its reason, or None.
        by: Person who decided, ``""`` for evidence and the train.
        note: That person's reason as they wrote it, ``""`` where nobody gave one.
        lane_over: It ended a fast lane, and did nothing else.
        sentence: What happened and on what numbers, in English.
    """

    index: int
    time_ms: int
    kind: str
    channel: str = ""
    release: str = ""
    number: int = 0
    ring: str = ""
    state: State | None = None
    reason: Reason | None = None
    by: str = ""
    note: str = ""
    lane_over: bool = False
    sentence: str = ""


class TrackPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a release at one tick of the judge; counts are over all rings, machines."""

    time_ms: int
    log_e_harm: float
    harm_upper: float
    admitted: int
    control: int
    harmed: int
    in_flight: int
    window: int


class Verb(StrEnum):
    """What can be asked for. The last three concern a channel, the others a release."""

    HOLD = "hold"
    RESUME = "resume"
    SHUT = "shut"
    EXPEDITE = "expedite"
    PIN = "pin"
    UNPIN = "unpin"
    APPROVE = "approve"
    NOTE = "note"
    SYNC = "sync"
    PICK = "pick"
    RESUME_CHANNEL = "resume channel"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request.

    Attributes:
        index: Ledger index of the decision, None where nothing needed deciding.
        sentence: What happened, in English.
        channel: Channel concerned.
        release: Release id concerned, or ``""``.
        door: Ring name to door afterwards; empty for channel verbs.
        order: Number under which it waits for a second person; 0 where it was carried out.
    """

    index: int | None
    sentence: str
    channel: str
    release: str = ""
    door: dict[str, DoorView] = {}
    order: int = 0

"""What an explanation is made from: every fact behind a verdict, in numbers and names.

The page, the command line and JSON all tell these facts and no others. Conventions as in
``console.model``: field names are JSON names, ``log_e`` is a natural logarithm.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from firedoor.console.model import ReleaseView, TrackPoint
from firedoor.console.reading import ReadModel


class Move(StrEnum):
    """What a person can do about a release, or has to leave to Firedoor and the machines."""

    CONTAIN = "contain"
    CONTAINED = "contained"
    REVERT = "revert"
    STAYS = "stays"
    REMEDY = "remedy"
    LIST = "list"
    HOLD = "hold"
    RESUME = "resume"
    EXPEDITE = "expedite"
    OVERRIDE = "override"


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be done now.

    Attributes:
        move: What it is.
        command: What to type, ``""`` where nothing has to be typed.
    """

    move: Move
    command: str = ""


class Limit(StrEnum):
    """What a verdict cannot tell."""

    NOTHING_COMPARED = "nothing compared"
    NOT_RANDOMISED = "not randomised"
    LATE = "late harm"
    SHARED = "shared backend"
    UNWATCHED = "signal not watched"
    POOLED = "groups not watched"
    UNTRIED = "group not tried"
    BELOW = "not excluded"
    TOGETHER = "machines fail together"
    SMALL = "fleet too small"


class SignalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One signal of harm.

    Attributes:
        signal: ``silence``, ``crash`` or ``check``.
        watched: It decides; otherwise it is only counted.
        treated: Treated machines of which this harm could have been known by now.
        treated_harmed: Of these, harmed.
        control: Control machines likewise; a machine counts each time it was compared.
        control_harmed: Of these, harmed.
        expected: Treated machines that would have been harmed by chance.
        log_e: Evidence of harm in this signal.
    """

    signal: str
    watched: bool
    treated: int
    treated_harmed: int
    control: int
    control_harmed: int
    expected: float
    log_e: float


class GroupFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The machines with one value of one attribute. Each machine counts once an arm.

    Attributes:
        attribute: Name of the attribute.
        value: Its value.
        treated: Treated machines.
        treated_harmed: Of these, harmed.
        control: Control machines.
        control_harmed: Of these, harmed.
        log_e: Evidence of harm to this group by its worst signal, None where the rules of the
            boarding do not watch the attribute.
        named: On the list of groups that are harmed (e-BH), None where no list was made.
    """

    attribute: str
    value: str
    treated: int
    treated_harmed: int
    control: int
    control_harmed: int
    log_e: float | None = None
    named: bool | None = None


class Whose(StrEnum):
    """Whose the harm is, of two releases that are accused of it."""

    THIS = "this"
    OTHER = "other"
    EACH = "each"
    """Each does harm by itself."""
    TOGETHER = "together"
    """It shows where both are installed, and not where only one is."""
    UNKNOWN = "unknown"


class SuspectFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A release of another channel that is accused of the same harm. Counts of machines.

    Attributes:
        channel: Its channel.
        number: Its boarding number.
        whose: Whose the harm is.
        both: Harmed machines that had both.
        only_this: Those that had this one alone.
        only_other: Those that had the other one alone.
        neither: Those that had neither.
        sealed: Harmed machines that are left out: which they had is not known yet.
    """

    channel: str
    number: int
    whose: Whose
    both: int
    only_this: int
    only_other: int
    neither: int
    sealed: int


class ShutBy(msgspec.Struct, frozen=True, kw_only=True):
    """Fewest machines in flight whose harm would prove the release harmful.

    Attributes:
        signal: The harm they would show.
        machines: How many; None if not even all of them would do.
    """

    signal: str
    machines: int | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would change the verdict.

    Attributes:
        in_flight: Treated machines whose outcome is open.
        control: Control machines likewise.
        untried: Machines that have not got the release yet, in rings where it goes on.
        shut_by: For each signal that decides.
        clean_to_clear: Fewest further installs that clear it if nobody at all comes to harm; None
            if the machines left are too few, or a warning stands.
        likely_to_clear: Further installs that clear it if treated and control are harmed alike,
            at the rate the controls showed; None if that rate hides what is asked for.
    """

    in_flight: int
    control: int
    untried: int
    shut_by: tuple[ShutBy, ...] = ()
    clean_to_clear: int | None = None
    likely_to_clear: int | None = None


class Undoing(msgspec.Struct, frozen=True, kw_only=True):
    """How far the undoing has got, machines, as far as it was seen.

    Attributes:
        looked_at: Machines looked at; a long list is looked at up to a bound.
        contained: They have it still and are served nothing more of it.
        reverted: Seen running the previous release.
        needs_remedy: A person has to reach them.
    """

    looked_at: int
    contained: int
    reverted: int
    needs_remedy: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one boarding that an explanation tells.

    Attributes:
        release: The release, its doors and its verdict.
        kind: Kind of the channel.
        reverts: Whether this kind of client goes back when it is served the previous release.
        randomised: As in ``VerdictView``.
        warn: The evidence of harm stands above the warning level.
        alpha_harm: Chance that evidence ever shuts a good release.
        alpha_clear: Chance that the bound on harm is ever too low.
        max_log_e_harm: The largest evidence of harm so far.
        decks: Decks dealt.
        installed: Treated machines followed to their deadline that are known to have installed.
        treated: Treated machines followed to their deadline.
        control: Control machines likewise; a machine counts each time it was compared.
        signals: By signal.
        attributes: Attributes by which localised harm is looked for.
        groups: By attribute and value, worst first.
        suspect: A release of another channel that is accused of the same harm, None for none.
        least_harmed: Harmed machines that any rule as careful would need to prove this harm.
        least_installed: Installs that any rule as careful would need to clear it.
        ratio: Odds ratio of harm whose exclusion opens the door, too; None for none.
        log_e_ratio: ln E against odds of harm that are that many times the control's.
        cluster: Most machines that one accident is taken to harm together.
        budget_growth: Slots the budget gains for each control machine that fails; 0 for none.
        liars: Harmed machines that the verdict does without.
        change: What would change the verdict, None once its doors have ended or it is harmful.
        undoing: How far the undoing has got, None where there is nothing to undo.
        advice: What can be done now.
        limits: What the verdict cannot tell.
        track: The history of the evidence, oldest first.
    """

    release: ReleaseView
    kind: str
    reverts: bool
    randomised: bool | None
    warn: bool
    alpha_harm: float
    alpha_clear: float
    max_log_e_harm: float
    decks: int = 0
    installed: int = 0
    treated: int = 0
    control: int = 0
    signals: tuple[SignalFacts, ...] = ()
    attributes: tuple[str, ...] = ()
    groups: tuple[GroupFacts, ...] = ()
    suspect: SuspectFacts | None = None
    least_harmed: int | None = None
    least_installed: int | None = None
    ratio: float | None = None
    log_e_ratio: float = 0.0
    cluster: int = 1
    budget_growth: float = 0.0
    liars: int = 0
    change: Change | None = None
    undoing: Undoing | None = None
    advice: tuple[Advice, ...] = ()
    limits: tuple[Limit, ...] = ()
    track: tuple[TrackPoint, ...] = ()


class Explains(ReadModel, Protocol):
    """A read model that also explains."""

    def explain(self, release: str) -> Facts | None:
        """The facts behind the latest boarding of exactly this release id."""
        ...

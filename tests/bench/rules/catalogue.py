"""Every rule of the benchmark, with its parameters and who chose them."""

from functools import partial

from tests.bench.rules.archives import Lvfs, UbuntuRate, UbuntuSignature
from tests.bench.rules.canaries import Argo, Flagger
from tests.bench.rules.firedoor import Firedoor
from tests.bench.rules.gandalf import GandalfStyle
from tests.bench.rules.kayenta import Kayenta
from tests.bench.rules.machines import Linear, Local
from tests.bench.rules.rollouts import Autopatch, AwsJob, EcsBreaker, HawkBit, Nebraska
from tests.bench.rules.rule import HOUR, Rule
from tests.bench.rules.textbook import ExactTest

from firedoor.core.terms import Policy

DELTA = 0.01
"""Excess harm that clearance has to exclude in rings of about a thousand machines."""

OURS = "firedoor"
OURS_LOOSE = "firedoor .01"
HELD = "firedoor or held"

RULES: tuple[Rule, ...] = (
    Rule(
        OURS,
        "the judge as shipped: alpha .001 (300 machines and more), delta .01 set for the ring",
        partial(Firedoor.begin, policy=Policy(delta=DELTA)),
        ours=True,
    ),
    Rule(
        OURS_LOOSE,
        "the same with alpha .01",
        partial(Firedoor.begin, policy=Policy(delta=DELTA, alpha_harm=0.01)),
        ours=True,
    ),
    Rule(
        HELD,
        "alpha .001, and what is worse than ten good releases before it is held",
        partial(Firedoor.begin, policy=Policy(delta=DELTA), holds=True),
        ours=True,
    ),
    Rule("B1 Ubuntu rate", "crashes today against round(mean + sd) of 15 days", UbuntuRate.begin),
    Rule("B2 Ubuntu signature", "a new signature on more than 2 machines", UbuntuSignature.begin),
    Rule("B3 LVFS", "5 failures and under 70 % good reports", Lvfs.begin),
    Rule("B4 hawkBit", "more than 50 % of the group failed", HawkBit.begin),
    Rule("B5 Nebraska", "timed-out updates reach the cap, a quarter of the ring", Nebraska.begin),
    Rule("B6 NervesHub", "a penalty box for each machine; never halts", Local.begin),
    Rule("B7 Argo, limit 0", "no hour above 3 x baseline", partial(Argo.begin, failure_limit=0)),
    Rule("B7 Argo, limit 3", "3 such hours allowed", partial(Argo.begin, failure_limit=3)),
    Rule("B8 Flagger, 1", "first failed hourly check", partial(Flagger.begin, threshold=1)),
    Rule("B8 Flagger, 10", "ten failed hourly checks", partial(Flagger.begin, threshold=10)),
    Rule(
        "B9 Kayenta, once", "NetflixACAJudge-v1.0 at 48 h", partial(Kayenta.begin, every=48 * HOUR)
    ),
    Rule(
        "B9 Kayenta, 3 h", "the same every 3 hours, growing", partial(Kayenta.begin, every=3 * HOUR)
    ),
    Rule("B10 FCOS", "linear over 48 h; people pause it, evidence does not", Linear.begin),
    Rule("B11 AWS IoT Jobs", "over 10 % of more than 100 executed failed (ours)", AwsJob.begin),
    Rule("B12 ECS breaker", "clamp(half the ring, 3, 200) failures", EcsBreaker.begin),
    Rule("B13 Autopatch", "rollback signal on 5 % (ours)", Autopatch.begin),
    Rule("B14 greenboot", "each machine after 3 failed boots; never halts", Local.begin),
    Rule("B15 Gandalf-style", "anomaly, correlation, votes; constants ours", GandalfStyle.begin),
    Rule(
        "B16 exact, 24 h and 48 h",
        "one-sided exact test, alpha .01 at each",
        partial(ExactTest.begin, alpha=0.01, asked=(24 * HOUR, 48 * HOUR)),
    ),
    Rule(
        "B16 exact, hourly",
        "the same, peeked at every hour",
        partial(ExactTest.begin, alpha=0.01, asked=None),
    ),
)

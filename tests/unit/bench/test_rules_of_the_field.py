"""Each rule against cases worked out by hand from its definition.

A benchmark against straw men proves nothing. The definitions are those of the products' own
sources and documents; where they leave a number to the operator, the case names it.
"""

from math import comb

import numpy as np
import pytest
from tests.bench.rules.archives import Lvfs, UbuntuRate, UbuntuSignature, daily_limit
from tests.bench.rules.canaries import Argo, Flagger
from tests.bench.rules.catalogue import RULES
from tests.bench.rules.gandalf import GandalfStyle
from tests.bench.rules.machines import Linear, Local, boots_previous, in_penalty_box, linear_share
from tests.bench.rules.rollouts import (
    Autopatch,
    AwsJob,
    EcsBreaker,
    HawkBit,
    Nebraska,
    breaker_threshold,
)
from tests.bench.rules.rule import HOUR
from tests.bench.rules.textbook import ExactTest, binomial_tail
from tests.unit.bench.intervals import briefed, hours, interval, said

# B1 and B2: Ubuntu


def test_ubuntu_allows_the_mean_and_a_deviation_of_the_last_days_rounded():
    """Days of 2 and 6 crashes: mean 4, population deviation 2, limit 6; a tenth of it at 10 %."""
    daily = np.array([[2.0, 6.0, 2.0, 6.0]])

    assert daily_limit(daily, 1.0).tolist() == [6.0]
    assert daily_limit(daily, 0.1).tolist() == pytest.approx([0.6])


@pytest.mark.parametrize(
    ("crashes", "halts"),
    [
        (2, False),  # under three crashes it never halts
        (3, False),  # 24 a day, half of the machines: 12, a quarter of the day: 3; no excess
        (4, False),  # an excess of exactly one is allowed
        (5, True),
    ],
)
def test_ubuntu_halts_on_three_crashes_that_exceed_the_day_so_far_by_more_than_one(crashes, halts):
    """Today >= 3 and today - limit * minutes / 1440 > 1, asked at 6 o'clock."""
    watch = UbuntuRate.begin(briefed(per_hour=1))

    answers = hours(watch, [crashes, 0, 0, 0, 0, 0])

    assert [halt for halt, _ in answers] == [False] * 5 + [halts]


def test_ubuntu_counts_the_crashes_of_a_day_and_forgets_them_at_midnight():
    """Otherwise every release would be halted in the end."""
    watch = UbuntuRate.begin(briefed(per_hour=1))

    answers = hours(watch, [0, 1] * 27)

    assert not any(halt for halt, _ in answers)
    assert [clear for _, clear in answers].index(True) == 53


def test_ubuntu_halts_on_a_new_signature_seen_on_more_than_two_machines():
    """Two machines may share a fault of their own; three share the update."""
    two, three = (UbuntuSignature.begin(briefed()) for _ in range(2))

    assert said(two.look(interval(0, 360, bucket=2))) == (False, False)
    assert said(three.look(interval(0, 360, bucket=3))) == (True, False)


# B3 to B5 and B11 to B13: counting installations


@pytest.mark.parametrize(
    ("good", "bad", "halts"),
    [(0, 4, False), (11, 5, True), (12, 5, False), (1000, 428, False), (1000, 429, True)],
)
def test_lvfs_demotes_at_five_failures_and_less_than_seventy_percent_good_reports(good, bad, halts):
    """11 of 16 are 68.75 %, 12 of 17 are 70.6 %, 1000 of 1428 are 70.03 %."""
    watch = Lvfs.begin(briefed())

    assert said(watch.look(interval(0, 10, finished=good, failed=bad)))[0] is halts


def test_hawkbit_pauses_above_half_of_the_group_and_goes_on_at_half():
    """Of 1000: 501 errors pause, 500 do not; the error is counted per group, not per answer."""
    assert said(HawkBit.begin(briefed()).look(interval(0, 10, failed=501)))[0]
    assert not said(HawkBit.begin(briefed()).look(interval(0, 10, failed=500)))[0]
    assert said(HawkBit.begin(briefed()).look(interval(0, 10, finished=500))) == (False, True)


def test_nebraska_stops_when_as_many_time_out_as_may_be_in_progress():
    """1000 machines in four hours: a cap of 250; reported failures do not count."""
    assert said(Nebraska.begin(briefed()).look(interval(0, 10, overdue=250)))[0]
    assert not said(Nebraska.begin(briefed()).look(interval(0, 10, overdue=249, failed=700)))[0]


def test_an_aws_job_is_cancelled_above_ten_percent_of_more_than_a_hundred_executions():
    """Exactly 100 executions are not enough, and exactly 10 % is not too much."""
    few = AwsJob.begin(briefed()).look(interval(0, 10, finished=50, failed=50))
    edge = AwsJob.begin(briefed()).look(interval(0, 10, finished=180, failed=10, overdue=10))
    over = AwsJob.begin(briefed()).look(interval(0, 10, finished=179, failed=11, overdue=10))

    assert [said(x)[0] for x in (few, edge, over)] == [False, False, True]


@pytest.mark.parametrize(
    ("desired", "failures"), [(1, 3), (6, 3), (25, 13), (400, 200), (9999, 200)]
)
def test_the_ecs_breaker_opens_at_half_the_desired_number_between_3_and_200(desired, failures):
    """Half of 25 is 12.5, rounded up."""
    assert breaker_threshold(desired) == failures
    watch = EcsBreaker.begin(briefed(treated=desired))
    assert not said(watch.look(interval(0, 10, failed=failures - 1)))[0]
    assert said(watch.look(interval(10, 20, failed=1)))[0]


def test_autopatch_pauses_at_its_percentage_of_those_that_have_the_update():
    """5 % of 200 are ten machines."""
    watch = Autopatch.begin(briefed())

    assert not said(watch.look(interval(0, 10, treated=200, failed=9)))[0]
    assert said(watch.look(interval(10, 20, treated=200, failed=1)))[0]


# B6, B10, B14: no evidence about a release


def test_nervehub_puts_a_machine_into_the_box_after_three_attempts_or_five_fast_ones():
    """Three already suffice, so the five fast ones only matter to whoever raised the three."""
    assert not in_penalty_box([0.0, 10_000.0])
    assert in_penalty_box([0.0, 10_000.0, 20_000.0])


def test_greenboot_falls_back_after_three_failed_boots_in_a_row():
    """A healthy boot begins the count anew."""
    assert not boots_previous([False, False, True, False, False])
    assert boots_previous([True, False, False, False])


def test_rules_of_one_machine_never_halt_a_release():
    """Whatever happens: that is what they are."""
    watch = Local.begin(briefed())

    assert said(watch.look(interval(0, 60, crashes=1000, failed=1000))) == (False, False)


def test_a_linear_rollout_clears_when_its_time_is_over_and_not_by_evidence():
    """48 hours by the clock; a quarter of the machines after 12 of them."""
    assert linear_share(720, 2880) == 0.25
    answers = hours(Linear.begin(briefed()), [100] * 48)
    assert answers[46:] == [(False, False), (False, True)]


# B7 and B8: Argo and Flagger, limit 3 x 2 crashes an hour on half of the machines = 3


def test_argo_fails_at_the_first_hour_above_the_limit_or_after_a_number_of_them():
    """FailureLimit 0 and 3; an hour at the limit has not failed."""
    strict = Argo.begin(briefed(per_hour=2), failure_limit=0)
    patient = Argo.begin(briefed(per_hour=2), failure_limit=3)

    assert [halt for halt, _ in hours(strict, [3, 3, 4])] == [False, False, True]
    assert [halt for halt, _ in hours(patient, [4, 4, 4, 0, 4])] == [False] * 4 + [True]


def test_argo_aborts_after_five_measurements_in_a_row_without_data():
    """ConsecutiveErrorLimit 4; one good measurement begins the count anew."""
    watch = Argo.begin(briefed(per_hour=2), failure_limit=0)

    down = (
        hours(watch, [0] * 4, reporting=0) + hours(watch, [0]) + hours(watch, [0] * 5, reporting=0)
    )

    assert [halt for halt, _ in down] == [False] * 9 + [True]


def test_argo_succeeds_at_its_count_of_measurements():
    """24 hours without a failure; nobody compared anything with a control."""
    answers = hours(Argo.begin(briefed(per_hour=2), failure_limit=0), [3] * 24)

    assert answers.index((False, True)) == 23


def test_flagger_rolls_back_when_its_counter_of_failed_checks_reaches_the_threshold():
    """The counter never falls again within a run, and a check without data has failed."""
    watch = Flagger.begin(briefed(per_hour=2), threshold=3)

    answers = hours(watch, [4, 0, 0]) + hours(watch, [0], reporting=0) + hours(watch, [0, 4])

    assert [halt for halt, _ in answers] == [False] * 5 + [True]


def test_flagger_promotes_after_ten_checks_that_passed():
    """Steps of 5 up to 50."""
    answers = hours(Flagger.begin(briefed(per_hour=2), threshold=3), [4] + [0] * 10)

    assert answers.index((False, True)) == 10


# B15 and B16


def test_a_gandalf_style_rule_blames_a_rollout_that_is_hit_out_of_proportion():
    """An anomaly that hits both arms alike is somebody else's."""
    blamed, shared = (GandalfStyle.begin(briefed(per_hour=1)) for _ in range(2))

    assert hours(blamed, [10], control_crashes=0)[0][0]
    assert not hours(shared, [10], control_crashes=10)[0][0]


@pytest.mark.parametrize(
    ("x", "n", "share"),
    [
        (0, 7, 0.3),
        (3, 10, 0.5),
        (5, 5, 0.2),
        (60, 100, 0.5),
        (1, 400, 0.001),
        (37, 300, 0.1),
        (299, 300, 0.9),
    ],
)
def test_the_binomial_tail_is_the_sum_of_its_terms(x, n, share):
    """All of B16 and every interval of the page rest on it."""
    exact = sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(x, n + 1))

    tail = binomial_tail(np.array([x]), np.array([n]), np.array([share]))

    assert tail[0] == pytest.approx(exact, rel=1e-9)


def test_the_exact_test_halts_at_seven_events_against_none_with_equal_arms():
    """2^-7 is the first power below .01; six against none are not enough."""
    at_hour = (HOUR,)
    six = ExactTest.begin(briefed(), 0.01, at_hour).look(interval(0, 60, crashes=5, overdue=1))
    seven = ExactTest.begin(briefed(), 0.01, at_hour).look(interval(0, 60, crashes=6, overdue=1))

    assert [said(six)[0], said(seven)[0]] == [False, True]


def test_every_rule_of_the_survey_has_a_row():
    """B1 to B16 and ours; a rule that is left out is a rule that was chosen."""
    named = {rule.key.split(" ")[0] for rule in RULES}

    assert named == {"firedoor", *(f"B{number}" for number in range(1, 17))}
    assert len({rule.key for rule in RULES}) == len(RULES)

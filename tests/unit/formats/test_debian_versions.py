"""The order of versions, as dpkg itself has it, and what a Depends asks for."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.formats.debian_versions import Relation, compare, relations

VERSION = st.from_regex(r"([0-9]:)?[0-9][0-9a-zB~+.]{0,6}(-[0-9a-z~+.]{1,4})?", fullmatch=True)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0-0.1"),
        ("1.9", "1.10"),
        ("2.0", "1:1.0"),
        ("1.0a", "1.0+"),
        ("1.0~~", "1.0~"),
        ("9.2p1-2+deb12u2", "9.2p1-2+deb12u10"),
        ("1.0-1", "1.0-1+b1"),
    ],
)
def test_the_order_is_that_of_the_policy(older, newer):
    """Each way, and equal to itself."""
    assert compare(older, newer) < 0 < compare(newer, older)
    assert compare(older, older) == 0


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0-0"), ("1.00", "1.0"), ("0:1", "1")])
def test_what_is_spelled_otherwise_may_be_the_same(one, other):
    """A revision or an epoch that is missing is zero."""
    assert compare(one, other) == 0


@given(st.lists(st.tuples(VERSION, VERSION), min_size=20, max_size=40))
def test_dpkg_agrees(pairs):
    """It is dpkg that decides on the machine whether a package may be installed."""
    script = "\n".join(
        f"dpkg --compare-versions '{one}' lt '{other}' && echo -1 || "
        f"{{ dpkg --compare-versions '{one}' eq '{other}' && echo 0 || echo 1; }}"
        for one, other in pairs
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    signs = [(c > 0) - (c < 0) for c in (compare(one, other) for one, other in pairs)]
    assert signs == [int(line) for line in said.stdout.split()]


def test_a_depends_names_groups_of_which_one_will_do():
    """Architectures and what else may be written are passed over."""
    text = "libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, perl:any, libssl3 (>> 3.0~)"

    assert list(relations(text)) == [
        (Relation("libc6", ">=", "2.36"),),
        (Relation("debconf", ">=", "0.5"), Relation("debconf-2.0", "", "")),
        (Relation("perl", "", ""),),
        (Relation("libssl3", ">>", "3.0~"),),
    ]
    assert str(Relation("libc6", ">=", "2.36")) == "libc6 (>= 2.36)"


@pytest.mark.parametrize(
    ("operator", "met"), [("<<", "1"), ("<=", "12"), ("=", "2"), (">=", "23"), (">>", "3")]
)
def test_a_relation_is_met_by_the_versions_that_it_says(operator, met):
    """Of 1, 2 and 3, compared with 2."""
    relation = Relation("a", operator, "2")

    assert "".join(v for v in "123" if relation.is_met_by(v)) == met


def test_what_makes_no_sense_asks_for_nothing():
    """A check that trips over a vendor's typing error would keep a fix from the fleet."""
    assert list(relations("(>= 1), , libc6 (>= 2), a | (b)")) == [(Relation("libc6", ">=", "2"),)]

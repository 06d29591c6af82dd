"""Reports: a boarding in the forms others read: the ledger, the API, a sentence, a curve."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from firedoor.core.door import Door
from firedoor.core.ledger.canonical import Json, float_to_text
from firedoor.core.risk import Risk
from firedoor.core.verdict import Verdict, VerdictState
from firedoor.services.boarding import Boarding
from firedoor.services.flight import Flight, Numbers
from firedoor.services.late import Wait


def snapshot(flight: Flight, found: Verdict) -> dict[str, Json]:
    """What a ledger entry says of the evidence behind a decision.

    Floats are in C99 hexadecimal, so that a replay can compare them bit for bit.
    """
    return {
        "cells": found.seq,
        "cells_digest": flight.digest,
        "state": found.state.value,
        "warn": found.warn,
        "log_e_harm": float_to_text(found.log_e_harm),
        "max_log_e_harm": float_to_text(found.max_log_e_harm),
        "log_e_clear": float_to_text(found.log_e_clear),
        "harm_upper": float_to_text(found.harm_upper),
        "harm_lower": float_to_text(found.harm_lower),
        "debt": float_to_text(found.debt),
        "log_e_history": float_to_text(found.log_e_history),
        "frozen": found.frozen,
        "worse": found.worse,
        "log_e_ratio": float_to_text(found.log_e_ratio),
        "alike": found.alike,
        "installed": found.matured.installed,
        "streams": [
            {
                "signal": s.signal,
                "treated": s.treated,
                "control": s.control,
                "treated_harmed": s.treated_harmed,
                "control_harmed": s.control_harmed,
            }
            for s in found.streams
        ],
    }


def terms_of(boarding: Boarding, doors: Iterable[Door]) -> dict[str, Json]:
    """What the ledger says of a boarding's numbers, fixed before its first deck."""
    rules = boarding.rules
    return {
        "doors": [
            {"ring": d.ring, "state": d.state.value, "reason": d.reason.value} for d in doors
        ],
        "rules": {
            "alpha_harm": float_to_text(rules.alpha_harm),
            "alpha_warn": float_to_text(rules.alpha_warn),
            "alpha_clear": float_to_text(rules.alpha_clear),
            "delta": float_to_text(rules.delta),
            "liars": rules.liars,
            **({"past_liars": rules.past_liars} if rules.past_liars else {}),
            "merging": rules.merging.value,
            "shares": [[signal, float_to_text(share)] for signal, share in rules.shares],
            "attributes": list(rules.attributes),
            "past": [[p.ring, p.signal, p.age, p.events, p.exposure] for p in rules.past],
            "alpha_ref": float_to_text(rules.alpha_ref),
            "ratio": "" if rules.ratio is None else float_to_text(rules.ratio),
            "cluster": rules.cluster,
        },
        "rings": {
            ring: {
                "active": terms.active_machines,
                "budget": terms.budget,
                "delta": float_to_text(terms.delta),
                "control": float_to_text(terms.control),
                "soak_ms": terms.soak_ms,
                **({"shadow": True} if terms.shadow else {}),
                **({} if terms.risk is Risk.OTHER else {"risk": terms.risk.value}),
                **({"takes_effect": terms.takes_effect.value} if terms.restarts else {}),
                **({"restart_of": list(terms.restart_of)} if terms.restart_of else {}),
                **({"install_delay_ms": late} if (late := terms.install_delay_ms) else {}),
                "budget_growth": float_to_text(terms.budget_growth),
            }
            for ring, terms in boarding.terms.items()
        },
    }


def sentence(flight: Flight, found: Verdict) -> str:
    """The evidence in one sentence, with the numbers a person would ask for."""
    level = -math.log(flight.evidence.rules.alpha_warn)
    compared = (
        f"; worse than past good releases: the e-value against them is "
        f"{_power(found.log_e_history)}, {_power(level)} holds"
    )
    said = _against_control(flight, found) + (compared if found.worse else "")
    return said + _waiting(flight)


def _waiting(flight: Flight) -> str:
    """Who has not installed yet, and who did later than its deck was looked at."""
    rings = flight.doors
    waits = (Wait.WAITING, Wait.WOKEN)
    waiting = sum(flight.late.count(ring, wait) for ring in rings for wait in waits)
    dormant = sum(flight.late.count(ring, Wait.DORMANT) for ring in rings)
    harmed = sum(flight.late.count(ring, Wait.HARMED) for ring in rings)
    spoke = sum(flight.late.count(ring, Wait.TOLD) for ring in rings)
    late, none = "a late install", "an install"
    doing = "installing later than their deck was looked at"
    if flight.effect is not None:
        late, none = "their install or a restart after it", "a restart since their install"
        doing = "that had not restarted with it when their deck was looked at"
    told = [
        (waiting, doing),
        (dormant, f"dormant, without {none}"),
        (harmed, f"silent after {late}, with no control to compare with"),
        (spoke, f"that reported harm after {late}, with no control to compare with"),
    ]
    return "".join(f"; {count} {what}" for count, what in told if count)


def _against_control(flight: Flight, found: Verdict) -> str:
    harm = ", ".join(
        f"{s.signal}: {s.treated_harmed} treated and {s.control_harmed} control machines"
        for s in found.streams
        if s.treated_harmed or s.control_harmed
    )
    rules = flight.boarding.rules
    if found.state is VerdictState.HARMFUL:
        needed = -math.log(rules.alpha_harm)
        reached = f"the e-value reached {_power(found.max_log_e_harm)}, {_power(needed)} shuts"
        least = (
            f"; it harms at least {100 * found.harm_lower:.3g} % more than the control"
            if found.harm_lower > 0.0
            else ""
        )
        return f"harm is proved: {harm}; {reached}{least}"
    if not found.matured.treated:
        return f"no machine has matured yet; {harm}" if harm else "no machine has matured yet"
    seen = f"harm seen: {harm}" if harm else "no harm seen"
    return (
        f"{found.matured.installed} installed and matured, {seen}; more than "
        f"{100 * found.harm_upper:.3g} % excess harm is excluded with "
        f"{100 * (1 - rules.alpha_clear):g} % confidence{_odds(found, rules.ratio)}"
    )


def track_point(found: Verdict, rings: Iterable[Numbers]) -> str:
    """One point of a boarding's curve, as JSON."""
    numbers = list(rings)
    return msgspec.json.encode(
        {
            "log_e_harm": found.log_e_harm,
            "harm_upper": found.harm_upper,
            "admitted": sum(n.admitted for n in numbers),
            "control": sum(n.control for n in numbers),
            "harmed": sum(n.harmed for n in numbers),
            "in_flight": sum(n.in_flight for n in numbers),
            "window": sum(n.window for n in numbers),
        }
    ).decode()


def verdict_json(flight: Flight, found: Verdict, rings: Mapping[str, Numbers]) -> str:
    """The whole verdict with every stream's counts and every ring's numbers, as JSON."""
    return msgspec.json.encode(
        {
            "verdict": found,
            "rings": dict(rings),
            "rules": flight.boarding.rules,
            "cells_digest": flight.digest,
            "sentence": sentence(flight, found),
        }
    ).decode()


def _odds(found: Verdict, ratio: float | None) -> str:
    if ratio is None:
        return ""
    reached = f"odds of harm of {ratio:g} times the control's are"
    return f"; {reached} {'excluded as well' if found.alike else 'not excluded yet'}"


def _power(log_e: float) -> str:
    if log_e > math.log(1e6):
        return f"1e{log_e / math.log(10):.0f}"
    return f"{math.exp(log_e):,.0f}"

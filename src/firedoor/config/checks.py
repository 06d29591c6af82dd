"""What only the whole can tell: keys that are missing, and keys that contradict each other."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from firedoor.config import keys
from firedoor.config.keys import AnyKey
from firedoor.config.problem import Problem, nearest
from firedoor.config.settings import DEFAULT, Settings, Where, policy_layers, shown_path
from firedoor.config.values import Listen, describe, show_duration
from firedoor.core.channel import Kind, traits
from firedoor.core.ring import EVERYONE, Ring, find_cycle
from firedoor.core.terms import LARGEST_AUTO_ALPHA_HARM, Mode, TakesEffect


def missing(settings: Settings) -> Iterator[Problem]:
    """Keys that have to be written and are not, in any file."""
    for table, known in keys.LISTS.items():
        for name in settings.names(table):
            where = (table, name)
            for key in known:
                if key.needed and settings.setting(where, key) is None:
                    hint = f'add {key.name} = "..." under [[{table}]]'
                    yield _problem(settings, where, known[0], f'"{key.name}" is missing', hint)


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Values that are fine alone and not together. Assumes that none is missing."""
    yield from _listening(settings)
    yield from _tls(settings)
    yield from _times(settings)
    yield from _alert(settings)
    yield from _clean(settings)
    for name in settings.names("channel"):
        yield from _session(settings, ("channel", name))
        yield from _kind(settings, ("channel", name))
    for name in ("", *settings.names("channel")):
        yield from _alphas(settings, policy_layers(name))
        yield from _clusters(settings, policy_layers(name))
        yield from _restarts(settings, policy_layers(name))
    yield from _rings(settings)
    yield from _controls(settings)


def rings_written(settings: Settings) -> tuple[Ring, ...]:
    """The rings as the files name them, in file order, "everyone" only if it was named."""
    return tuple(
        Ring(
            name=name,
            match=settings.get(("ring", name), keys.MACHINES),
            after=settings.get(("ring", name), keys.AFTER),
            budget=settings.get(("ring", name), keys.BUDGET),
        )
        for name in settings.names("ring")
    )


def _listening(settings: Settings) -> Iterator[Problem]:
    console = settings.get(("console",), keys.CONSOLE_LISTEN)
    if not console.loopback:
        yield _problem(
            settings,
            ("console",),
            keys.CONSOLE_LISTEN,
            f"the console has no sign-in yet and listens on loopback only, found {console}",
            f'write "127.0.0.1:{console.port}" and reach it through an SSH tunnel',
        )
    doors: tuple[tuple[Where, keys.AnyKey], ...] = (
        (("gate",), keys.GATE_LISTEN),
        (("intake",), keys.INTAKE_LISTEN),
        (("console",), keys.CONSOLE_LISTEN),
        (("gate",), keys.LISTEN_PLAIN),
        (("intake",), keys.LISTEN_PLAIN),
    )
    for position, (where, key) in enumerate(doors):
        mine: Listen | None = settings.get(where, key)
        for other_where, other_key in doors[:position]:
            theirs: Listen | None = settings.get(other_where, other_key)
            if mine is not None and theirs is not None and mine.clashes(theirs):
                other = shown_path(other_where, other_key.name)
                what = f"{mine} is taken already by {other}"
                # Blame what somebody wrote, not the default it collides with.
                if settings.setting(where, key) is None:
                    what = f"taken already by the default of {shown_path(where, key.name)}, {mine}"
                    yield _problem(settings, other_where, other_key, what, "choose another port")
                else:
                    yield _problem(settings, where, key, what, "choose another port")


def _tls(settings: Settings) -> Iterator[Problem]:
    """A certificate needs its key, and the rest of TLS needs both."""
    both: tuple[AnyKey, AnyKey] = (keys.CERTIFICATE, keys.PRIVATE_KEY)
    rest: tuple[AnyKey, ...] = (keys.CLIENT_CA, keys.LISTEN_PLAIN)
    for where in (("gate",), ("intake",)):
        found = [key for key in both if settings.get(where, key) is not None]
        if len(found) == 1:
            other = both[1 - both.index(found[0])].name
            what = f'TLS needs "{other}" as well'
            yield _problem(settings, where, found[0], what, f'add {other} = "/path/to/file.pem"')
        for key in rest:
            if not found and settings.get(where, key) is not None:
                what = "this is for a role that speaks TLS, and there is no certificate"
                hint = "add certificate and key, or take this away"
                yield _problem(settings, where, key, what, hint)


def _controls(settings: Settings) -> Iterator[Problem]:
    """Without a control nothing can be compared, so only a door that holds nothing may do so."""
    for channel in settings.names("channel") or ("",):
        for ring in ("", *settings.names("ring")):
            policy = settings.policy(policy_layers(channel, ring))
            deciding = settings.deciding(keys.CONTROL, policy_layers(channel, ring))
            if policy.control or policy.mode is Mode.SHADOW or deciding is None:
                continue
            what = "0 is for shadow mode: a door that holds something needs a control"
            yield _problem(settings, deciding.where, keys.CONTROL, what, "write 0.10, or more")
            return


def _times(settings: Settings) -> Iterator[Problem]:
    where = ("time",)
    bucket = settings.get(where, keys.BUCKET)
    silence = settings.get(where, keys.SILENCE_MIN)
    settle = settings.get(where, keys.SETTLE)
    if silence < bucket:
        yield _problem(
            settings,
            where,
            keys.SILENCE_MIN,
            f"a deadline of {_bare(silence)} passes within one time.bucket of {_bare(bucket)}",
            f"use at least {show_duration(bucket)}, or a shorter bucket",
            otherwise=keys.BUCKET,
        )
    if settle >= silence:
        yield _problem(
            settings,
            where,
            keys.SETTLE,
            f"signs of life would not count for {_bare(settle)}, "
            f"but time.silence_min gives a machine {_bare(silence)} to speak",
            "make settle shorter than silence_min",
            otherwise=keys.SILENCE_MIN,
        )


def _alert(settings: Settings) -> Iterator[Problem]:
    where = ("alert",)
    if settings.setting(where, keys.WEBHOOK) and settings.setting(where, keys.COMMAND):
        yield _problem(
            settings,
            where,
            keys.COMMAND,
            "there is one alert hook, and alert.webhook is set too",
            "keep one of the two; a command can call several",
        )


def _clean(settings: Settings) -> Iterator[Problem]:
    """What a preflight is shown of the host must not hold Firedoor's own keys."""
    where, data = ("preflight",), PurePosixPath(settings.get((), keys.DATA))
    for named in settings.get(where, keys.CLEAN):
        path = PurePosixPath(named)
        if ".." in path.parts or data.is_relative_to(path) or path.is_relative_to(data):
            what = f"a vendor's tool would see Firedoor's own files through {path}"
            yield _problem(settings, where, keys.CLEAN, what, "name directories beside them")


def _session(settings: Settings, where: Where) -> Iterator[Problem]:
    usual = traits(settings.get(where, keys.KIND))
    idle = settings.get(where, keys.SESSION_IDLE) or usual.session_idle_ms
    longest = settings.get(where, keys.SESSION_MAX) or usual.session_max_ms
    if longest < idle:
        yield _problem(
            settings,
            where,
            keys.SESSION_MAX,
            f"a session of at most {_bare(longest)} cannot be idle for {_bare(idle)}",
            "make session_max at least session_idle",
            otherwise=keys.SESSION_IDLE,
        )


def _kind(settings: Settings, where: Where) -> Iterator[Problem]:
    """Keys that a kind of channel cannot do without, and keys that it does not have."""
    kind = settings.get(where, keys.KIND)
    for key in keys.NEEDED_BY.get(kind, ()):
        if settings.setting(where, key) is None:
            what = f'a channel of kind "{kind}" needs "{key.name}"'
            yield _problem(settings, where, keys.KIND, what, f"add {key.name} = [..]")
    for key in dict.fromkeys(key for known in keys.OF_KIND.values() for key in known):
        having = [other for other, known in keys.OF_KIND.items() if key in known]
        if kind not in having and settings.setting(where, key) is not None:
            kinds = " or ".join(f'"{other}"' for other in having)
            what = f'only a channel of kind {kinds} has "{key.name}"'
            yield _problem(settings, where, key, what, "take it away, or correct the kind")
    if kind is Kind.TUF and len(settings.get(where, keys.TRUST)) > 1:
        what = "clients of a TUF repository begin with one root"
        yield _problem(settings, where, keys.TRUST, what, "name the oldest that any of them has")


def _alphas(settings: Settings, layers: tuple[Where, ...]) -> Iterator[Problem]:
    written = [
        s for key in (keys.ALPHA_WARN, keys.ALPHA_HARM) if (s := settings.setting(layers[0], key))
    ]
    policy = settings.policy(layers)
    harm = LARGEST_AUTO_ALPHA_HARM if policy.alpha_harm is None else policy.alpha_harm
    # Only where this layer wrote one of the two: otherwise the layer below was told already.
    if written and policy.alpha_warn < harm:
        yield _problem(
            settings,
            layers[0],
            written[0].key,
            f"alpha_warn {policy.alpha_warn:g} is below alpha_harm {harm:g}: "
            "a release would be shut before anybody is warned",
            'make alpha_warn at least alpha_harm ("auto" is at most 0.01)',
        )


def _clusters(settings: Settings, layers: tuple[Where, ...]) -> Iterator[Problem]:
    policy = settings.policy(layers)
    written = [s for k in (keys.RATIO, keys.CLUSTER) if (s := settings.setting(layers[0], k))]
    if written and policy.ratio is not None and policy.cluster > 1:
        yield _problem(
            settings,
            layers[0],
            written[0].key,
            "a ratio is only known where machines fail one by one, "
            f"but up to {policy.cluster} may fail together",
            'write ratio = "off", or cluster = 1',
        )


def _restarts(settings: Settings, layers: tuple[Where, ...]) -> Iterator[Problem]:
    policy, written = settings.policy(layers), settings.setting(layers[0], keys.RESTART_OF)
    if written and policy.takes_effect is not TakesEffect.RESTART:
        yield _problem(
            settings,
            layers[0],
            keys.RESTART_OF,
            "starts of services are waited for by "
            f'takes_effect = "restart" alone, not by "{policy.takes_effect}"',
            'write takes_effect = "restart", or leave it out',
        )


def _rings(settings: Settings) -> Iterator[Problem]:
    rings = rings_written(settings)
    names = [ring.name for ring in rings]
    for ring in rings:
        where = ("ring", ring.name)
        if ring.name == EVERYONE:
            for key in (keys.MACHINES, keys.AFTER):
                if settings.setting(where, key):
                    what = (
                        'the ring "everyone" takes all that no other ring claims, after all others'
                    )
                    yield _problem(settings, where, key, what, f'leave out "{key.name}"')
        elif not ring.match:
            yield _problem(
                settings,
                where,
                keys.RING_NAME,
                '"machines" is missing: no machine could ever be in this ring',
                'add machines = { ATTRIBUTE = ["VALUE"] }',
            )
        if ring.after == EVERYONE and ring.name != EVERYONE:
            what = 'no ring can wait for "everyone", which waits for all others'
            yield _problem(settings, where, keys.AFTER, what, f"rings: {', '.join(names)}")
        elif ring.after is not None and ring.after not in names and ring.name != EVERYONE:
            meant = nearest(ring.after, names)
            hint = f'did you mean "{meant}"?' if meant else f"rings: {', '.join(names)}"
            what = f"there is no ring {describe(ring.after)}"
            yield _problem(settings, where, keys.AFTER, what, hint)
    if cycle := find_cycle(rings):
        if len(cycle) == 1:
            what = "this ring waits for itself"
        else:
            what = f"these rings wait for each other: {' after '.join((*cycle, cycle[0]))}"
        yield _problem(settings, ("ring", cycle[0]), keys.AFTER, what, "one of them must begin")


def _problem(
    settings: Settings,
    where: Where,
    key: AnyKey,
    what: str,
    hint: str,
    *,
    otherwise: AnyKey | None = None,
) -> Problem:
    """A problem of this key; placed at ``otherwise`` where this key was left to its default."""
    written = settings.setting(where, key)
    if written is None and otherwise is not None:
        written = settings.setting(where, otherwise)
    shown = shown_path(where, key.name)
    if key.name == "name" and where[0] in keys.LISTS:
        shown = shown_path(where[:1], where[1])
    if written is None:
        return Problem(DEFAULT, (), shown, what, hint)
    return Problem(written.origin, written.spot, shown, what, hint)


def _bare(milliseconds: int) -> str:
    return show_duration(milliseconds).strip('"')

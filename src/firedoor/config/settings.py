"""The merged stage: for every key that some file wrote, its last value and where it stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar, cast

from firedoor.config import keys
from firedoor.config.keys import AnyKey, Key
from firedoor.config.problem import Spot
from firedoor.config.values import show_key
from firedoor.core.terms import Policy

T = TypeVar("T")

Where = tuple[str, ...]
"""A table: ``()`` for the top, ``("gate",)``, ``("channel", NAME)``."""

DEFAULT = "default"
"""Origin of a value that no file wrote."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that was written.

    Attributes:
        where: The table it belongs to.
        key: The key.
        value: What the key's reader made of it.
        origin: File it was written in, or another word for people ("command line").
        spot: Where in that file.
    """

    where: Where
    key: AnyKey
    value: object
    origin: str
    spot: Spot


class Settings:
    """What all fragments together say. Read-only."""

    __slots__ = ("_found",)

    def __init__(self, written: Iterable[Setting] = ()) -> None:
        """Merge settings in the order given: the later one wins."""
        found: dict[tuple[Where, str], Setting] = {}
        for setting in written:
            found[setting.where, setting.key.name] = setting
        self._found: Mapping[tuple[Where, str], Setting] = MappingProxyType(found)

    def get(self, where: Where, key: Key[T]) -> T:
        """The value that holds for a key of a table: the written one, or the default."""
        setting = self._found.get((where, key.name))
        # Settings are made by the reader of the very key they are stored under.
        return key.default if setting is None else cast(T, setting.value)

    def setting(self, where: Where, key: AnyKey) -> Setting | None:
        """The setting as written, or None where the key was left out."""
        return self._found.get((where, key.name))

    def names(self, table: str) -> tuple[str, ...]:
        """Names of the ``[[table]]`` entries, in the order in which they were first written."""
        return tuple(dict.fromkeys(where[1] for where, _ in self._found if where[:1] == (table,)))

    def deciding(self, key: AnyKey, layers: Iterable[Where]) -> Setting | None:
        """The setting of a policy key that wins, from the first layer that wrote it, or None."""
        return next((s for where in layers if (s := self.setting(where, key))), None)

    def policy(self, layers: tuple[Where, ...]) -> Policy:
        """The policy that results when each layer overrides those behind it."""

        def value(key: Key[T]) -> T:
            setting = self.deciding(key, layers)
            return self.get(setting.where if setting else (), key)

        return Policy(
            budget=value(keys.BUDGET),
            alpha_harm=value(keys.ALPHA_HARM),
            alpha_warn=value(keys.ALPHA_WARN),
            alpha_clear=value(keys.ALPHA_CLEAR),
            delta=value(keys.DELTA),
            control=value(keys.CONTROL),
            soak_ms=value(keys.SOAK),
            patience_ms=value(keys.PATIENCE),
            install_wait_ms=value(keys.INSTALL_WAIT),
            takes_effect=value(keys.TAKES_EFFECT),
            restart_of=value(keys.RESTART_OF),
            mode=value(keys.MODE),
            expedite_needs_two=value(keys.EXPEDITE_NEEDS_TWO),
            strata=value(keys.STRATA),
            budget_growth=value(keys.BUDGET_GROWTH),
            ratio=value(keys.RATIO),
            cluster=value(keys.CLUSTER),
            liars=value(keys.LIARS),
        )


def policy_layers(channel: str = "", ring: str = "") -> tuple[Where, ...]:
    """The tables that may say something about a policy, the strongest first."""
    layers: list[Where] = []
    if ring:
        layers.append(("ring", ring))
    if channel:
        layers.append(("channel", channel))
    return (*layers, ("policy",))


def shown_path(where: Where, name: str) -> str:
    """A key's path as shown to people: ``channel.web.poll``."""
    return ".".join(show_key(part) for part in (*where, name))

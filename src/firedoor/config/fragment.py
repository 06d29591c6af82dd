"""The first stage: the text of one file, checked key by key.

Nothing here looks at another file, so a drop-in may hold half a channel; what only the whole can
tell (a missing upstream, a cycle of rings) is checked after merging.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import PurePath

from firedoor.config import keys, values
from firedoor.config.keys import AnyKey
from firedoor.config.problem import Problem, Spot, nearest
from firedoor.config.settings import Setting, Where, shown_path


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        origin: Its name as shown to people, such as ``config.d/10-lab.toml``.
        text: Its contents.
        base: The directory that relative paths in it are relative to.
    """

    origin: str
    text: str
    base: PurePath


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one file says.

    Attributes:
        settings: Its settings, in the order written. A value that does not fit stands here as
            its key's default, so that it does not also count as missing.
        problems: What it may not say.
    """

    settings: tuple[Setting, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_fragment(source: Source) -> Fragment:
    """Check one file by itself. Never raises for what the file says."""
    try:
        document = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        return Fragment(problems=(_syntax_problem(source, str(error)),))
    reader = _Reader(source)
    for name, value in document.items():
        reader.top(name, value)
    return Fragment(tuple(reader.settings), tuple(reader.problems))


class _Reader:
    """Walks one parsed file and collects."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.settings: list[Setting] = []
        self.problems: list[Problem] = []

    def top(self, name: str, value: object) -> None:
        if name == keys.DATA.name:
            self.value((), keys.DATA, value, (name,), name)
        elif name in keys.TABLES:
            if isinstance(value, dict):
                self.table((name,), keys.TABLES[name], value, (name,), name)
            else:
                self.refuse((name,), name, f"expected one table, headed [{name}]")
        elif name in keys.LISTS:
            self.named_tables(name, value)
        else:
            known = (keys.DATA.name, *keys.TABLES, *keys.LISTS)
            self.refuse((name,), values.show_key(name), "unknown key", _hint(name, known))

    def named_tables(self, table: str, value: object) -> None:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            what = f"expected a list of tables, each headed [[{table}]]"
            one_table = isinstance(value, dict)
            self.refuse((table,), table, what, "two brackets on each side" if one_table else "")
            return
        seen: set[str] = set()
        for index, content in enumerate(value):
            kept = len(self.settings)
            spot: Spot = (table, index)
            name = self.name(table, content, index)
            if name in seen:
                self.refuse(
                    (*spot, "name"),
                    shown_path((table,), name),
                    "stands twice in this file",
                    "put all its keys under one heading; only another file may override some",
                )
            where = (table, name)
            shown = shown_path((table,), name) if name else f"{table}[{index}]"
            self.table(where, keys.LISTS[table], content, spot, shown)
            if name:
                seen.add(name)
            else:
                del self.settings[kept:]

    def name(self, table: str, content: dict[str, object], index: int) -> str:
        """The name an entry goes by, or "" where it has none that fits."""
        if "name" not in content:
            self.refuse((table, index), f"{table}[{index}]", "has no name", 'add name = "..."')
            return ""
        try:
            return str(keys.LISTS[table][0].read(content["name"]))
        except values.Unfit:
            return ""  # told when the keys are checked

    def table(
        self,
        where: Where,
        known: tuple[AnyKey, ...],
        content: dict[str, object],
        spot: Spot,
        shown: str,
    ) -> None:
        by_name = {key.name: key for key in known}
        for name, value in content.items():
            path = f"{shown}.{values.show_key(name)}"
            if name in by_name:
                self.value(where, by_name[name], value, (*spot, name), path)
            else:
                what, hint = _unknown(where[0], name, tuple(by_name))
                self.refuse((*spot, name), path, what, hint)

    def value(self, where: Where, key: AnyKey, value: object, spot: Spot, shown: str) -> None:
        try:
            fit = key.read(value)
        except values.Unfit as unfit:
            found = unfit.found or values.describe(value)
            self.refuse(spot, shown, f"expected {unfit}, found {found}", unfit.hint)
            fit = key.default
        if key is keys.DATA:
            fit = str(self.source.base / fit)
        self.settings.append(Setting(where, key, fit, self.source.origin, spot))

    def refuse(self, spot: Spot, key: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source.origin, spot, key, what, hint))


def _unknown(table: str, name: str, known: tuple[str, ...]) -> tuple[str, str]:
    """What to say about a key that a table does not have, and what to do about it."""
    if table == "ring" and name in {key.name for key in keys.POLICY}:
        return (
            "a ring cannot override this: it belongs to a release as a whole",
            "set it under [policy] or for the channel",
        )
    return "unknown key", _hint(name, known)


def _hint(name: str, known: tuple[str, ...]) -> str:
    meant = nearest(name, known)
    if meant:
        return f'did you mean "{meant}"?'
    if name == keys.DATA.name:
        return f'"{name}" stands at the top of the file, before the first [heading]'
    homes = [f"[{t}]" for t, ks in keys.TABLES.items() if name in {key.name for key in ks}]
    homes += [f"[[{t}]]" for t, ks in keys.LISTS.items() if name in {key.name for key in ks}]
    if homes:
        return f'"{name}" belongs under {" or ".join(homes)}'
    return f"known here: {', '.join(known)}"


def _syntax_problem(source: Source, message: str) -> Problem:
    """The parser's words, with the line it means shown."""
    found = re.fullmatch(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)", message)
    reason = found[1] if found else message
    rows = source.text.splitlines()
    line = int(found[2]) if found and found[2] else max(1, len(rows))
    row = rows[line - 1].strip() if line <= len(rows) else ""
    # A URL may hold what is nobody else's business, and messages are copied around.
    row = re.sub(r"://\S+", "://...", row)
    hint = f"the line reads: {row}" if row else ""
    if "overwrite" in reason or "twice" in reason:
        hint = f"the same key or heading stands twice; {hint}"
    first = reason[:1].lower() + reason[1:]
    return Problem(source.origin, (), "", f"this is not TOML: {first}", hint, line)

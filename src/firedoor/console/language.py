"""The reader's language: message catalogues, numbers, times.

The catalogues are the committed ``.po`` files; they are compiled in memory when the console
starts, so there is no second file that could be stale. Message ids are whole English sentences
with named placeholders. What machines and people wrote into the ledger stays as they wrote it.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from io import BytesIO
from typing import Final

from babel import Locale
from babel.dates import format_datetime, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

LANGUAGES: Final = ("en", "zh_Hans")
"""Languages there are, the fallback first."""

OWN_NAMES: Final = {"en": "English", "zh_Hans": "中文"}
"""What each language calls itself."""

_PATTERNS = {
    "en": ("HH:mm:ss", "d MMM y, HH:mm:ss"),
    "zh_Hans": ("HH:mm:ss", "y年M月d日 HH:mm:ss"),
}
# What stands between two sentences.
_SPACES = {"en": " ", "zh_Hans": ""}
# What stands between two things of a list.
_COMMAS = {"en": ", ", "zh_Hans": "、"}
_KB = 1000
_WRITTEN_OUT = 6.0 + 1e-9
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Whatever the region: a reader of another Chinese reads this one more easily than English.
_SPOKEN = {"en": "en", "zh": "zh_Hans"}


class Language:
    """One language, ready to speak.

    Args:
        name: One of ``LANGUAGES``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tag = name.replace("_", "-")
        self.space = _SPACES[name]
        self.comma = _COMMAS[name]
        self._locale = Locale.parse(name)
        self._catalogue = _compiled(name)

    def gettext(self, message: str, /, **values: object) -> str:
        """Translate a sentence and fill in its placeholders."""
        return self._catalogue.ugettext(message) % values

    def ngettext(self, one: str, many: str, count: int, /, **values: object) -> str:
        """Translate a sentence that depends on a count; ``%(count)s`` is that count, grouped."""
        found = self._catalogue.ungettext(one, many, count)
        return found % {"count": self.number(count), **values}

    def number(self, value: float) -> str:
        """A number with the language's grouping and at most three significant decimals."""
        return format_decimal(value, locale=self._locale)

    def factor(self, log_e: float) -> str:
        """An e-value from its natural logarithm, two significant digits, readable at any size."""
        power = log_e / math.log(10)
        if abs(power) <= _WRITTEN_OUT:
            return self._decimal(float(f"{math.exp(log_e):.2g}"))
        # The tiny addition keeps whole powers whole: 7 ln 10 / ln 10 may fall short of 7.
        whole = math.floor(power + 1e-9)
        leading = round(10 ** (power - whole), 1)
        times = "" if leading == 1 else f"{self._decimal(leading)} × "
        return f"{times}10{str(whole).translate(_RAISED)}"

    def percent(self, share: float) -> str:
        """A share as a percentage with two significant digits, never rounded to nothing."""
        percent = 100 * share
        decimals = max(0, 1 - math.floor(math.log10(percent))) if percent > 0 else 0
        return f"{self._decimal(round(percent, decimals))}\N{NO-BREAK SPACE}%"

    def size(self, size_bytes: int) -> str:
        """A size in decimal units."""
        size, unit = float(size_bytes), "B"
        for bigger in ("kB", "MB", "GB", "TB"):
            if size < _KB:
                break
            size, unit = size / _KB, bigger
        return f"{self.number(round(size, 1))} {unit}"

    def time(self, time_ms: int, now_ms: int | None = None) -> str:
        """A time in UTC; only the clock if it lies on the same day as ``now_ms``."""
        when = _utc(time_ms)
        today = now_ms is not None and _utc(now_ms).date() == when.date()
        pattern = _PATTERNS[self.name][0 if today else 1]
        return format_datetime(when, pattern, locale=self._locale)

    def duration(self, seconds: float) -> str:
        """A length of time in its largest fitting unit."""
        return format_timedelta(timedelta(seconds=max(1, seconds)), locale=self._locale)

    def _decimal(self, value: float) -> str:
        return format_decimal(value, format="#,##0.##########", locale=self._locale)


def load() -> Mapping[str, Language]:
    """Compile all catalogues."""
    return {name: Language(name) for name in LANGUAGES}


def named(name: str) -> str | None:
    """The language that is called by this name, ``zh``, ``zh-CN`` or ``zh_Hans``, or None."""
    return _SPOKEN.get(name.replace("_", "-").partition("-")[0].lower())


def choose(asked: str | None, remembered: str | None, accepted: str) -> str:
    """Choose a language.

    Args:
        asked: The one in the address, if any.
        remembered: The one in the cookie, if any.
        accepted: The ``Accept-Language`` header, ``""`` when absent.
    """
    for name in (asked, remembered):
        if name is not None and (known := named(name)) is not None:
            return known
    wanted = [_wanted(part) for part in accepted.split(",")]
    wanted.sort(key=lambda pair: -pair[0])
    spoken = [_SPOKEN[name] for quality, name in wanted if quality > 0 and name in _SPOKEN]
    return spoken[0] if spoken else LANGUAGES[0]


def choose_by_environment(asked: str | None, environment: Mapping[str, str]) -> str:
    """Choose a language for a terminal.

    Args:
        asked: The one that was asked for by name, if any.
        environment: ``LC_ALL``, ``LC_MESSAGES`` and ``LANG`` in it, the first that is set wins.
    """
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((name for name in names if name), "")
    return choose(asked, None, locale.partition(".")[0].replace("_", "-"))


def rfc3339(time_ms: int) -> str:
    """A time as scripts want it, UTC, to the millisecond."""
    return _utc(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wanted(part: str) -> tuple[float, str]:
    name, _, quality = part.strip().partition(";q=")
    try:
        return float(quality or 1), name.lower().partition("-")[0]
    except ValueError:
        return 0.0, name


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _compiled(name: str) -> Translations:
    source = resources.files("firedoor.console") / "locale" / name / "LC_MESSAGES" / "console.po"
    compiled = BytesIO()
    with source.open("rb") as lines:
        write_mo(compiled, read_po(lines, locale=name))
    compiled.seek(0)
    return Translations(compiled, domain="console")

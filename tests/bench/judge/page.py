"""Write figures into the page: generated parts stand between markers, the rest is by hand."""

import re
from collections.abc import Mapping

_PART = re.compile(r"(<!-- generated: ([a-z0-9 -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Replace the generated parts of a page.

    Args:
        text: The page.
        parts: Name of a part -> its Markdown. A part that was not made is left as it is.

    Raises:
        ValueError: A part has no place in the page: it would be lost unnoticed.
    """
    missing = set(parts) - {found[1] for found in _PART.findall(text)}
    if missing:
        raise ValueError(f"the page has no place for {sorted(missing)}")

    def put(found: re.Match[str]) -> str:
        body = parts.get(found[2])
        return found[0] if body is None else f"{found[1]}\n{body}\n\n{found[3]}"

    return _PART.sub(put, text)

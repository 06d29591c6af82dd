"""What is known of the vulnerabilities that a release names, in a few words."""

from firedoor.adapters.upstream.vulnerabilities import NAMING
from firedoor.cli import output
from firedoor.cli.context import Place
from firedoor.console.model import ReleaseView
from firedoor.services.urgency import read_state


def vulnerabilities(place: Place, view: ReleaseView) -> str:
    """How many a release names, how many of them are exploited, and what that rests on."""
    if place.config.exploited.feed is None:
        return f"{view.cves} named; no list of exploited ones (exploited.feed)"
    with place.judge() as judge:
        searched, state = judge.searched(view.id), read_state(judge.feed())
    kind = next((each.kind for each in place.config.channels if each.name == view.channel), None)
    if searched:
        named = f"{view.cves} named; not searched: {searched}"
    elif kind not in NAMING:
        named = f"{view.cves} named by people; a release of kind {kind} names none itself"
    else:
        named = f"{view.cves} named" if searched == "" else f"{view.cves} named; not searched"
    if not state.good_ms:
        why = f": {state.error}" if state.error else ""
        return f"{named}; no list has been read yet{why}"
    said = (
        f"{named}; {len(view.exploited)} known to be exploited (list {state.version or '-'} of "
        f"{state.entries} entries, read {output.when(state.good_ms)})"
    )
    return f"{said}; not read since: {state.error}" if state.error else said

"""``policy.strata``: by which attributes localised harm is looked for."""

import pytest

from firedoor.config import defaults, from_text
from firedoor.core.errors import BadConfig

CHANNEL = '[[channel]]\nname = "av"\nkind = "files"\nupstream = "https://vendor.example/av/"\n'


def test_a_channel_overrides_the_strata_of_the_policy():
    """A channel of firmware looks by model, one of content by site."""
    config = from_text(f'[policy]\nstrata = ["site"]\n{CHANNEL}strata = ["model", "bios"]')

    assert config.policy.strata == ("site",)
    assert config.policy_for("av").strata == ("model", "bios")


def test_no_strata_at_all_may_be_asked_for():
    """Somebody may want all of the evidence for all machines together."""
    assert from_text("[policy]\nstrata = []").policy.strata == ()
    assert defaults().policy.strata == ("model", "site", "os")


@pytest.mark.parametrize(
    "written", ['["a","b","c","d","e","f","g","h","i"]', '["site", "site"]', '"site"', '[""]']
)
def test_strata_that_cannot_be_are_refused(written):
    """Nine attributes, one twice, a text that is no list, a name without a letter."""
    with pytest.raises(BadConfig):
        from_text(f"[policy]\nstrata = {written}")


def test_a_ring_has_no_strata_of_its_own():
    """The evidence of a release is one, over all its rings."""
    with pytest.raises(BadConfig):
        from_text('[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\nstrata = ["site"]')

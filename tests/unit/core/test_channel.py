"""Channels: names that fit into a URL, and what the loop knows about each kind of updater."""

import pytest

from firedoor.core.channel import (
    RESERVED_NAMES,
    Kind,
    Traits,
    Undo,
    Verb,
    check_channel_name,
    package_of,
    traits,
)
from firedoor.core.errors import BadConfig


@pytest.mark.parametrize("name", ["web", "clamav-custom", "a", "7zip", "v1.2_x", "a" * 64])
def test_a_channel_may_have_an_ordinary_name(name):
    """What people would write is allowed."""
    assert check_channel_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Web", "a b", "a/b", ".", "..", ".hidden", "-x", "a" * 65, "caf\u00e9", "web\n", "\u0661"],
)
def test_a_name_that_would_not_survive_a_url_is_refused(name):
    """The name is the first segment of every address a machine asks for."""
    with pytest.raises(BadConfig):
        check_channel_name(name)


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_channel_cannot_hide_what_the_gate_needs(name):
    """A channel called "m" would swallow every path token."""
    with pytest.raises(BadConfig, match="keeps this name"):
        check_channel_name(name)


def test_every_built_kind_can_contain():
    """Whatever the client does, the gate can always stop handing out."""
    for kind in Kind:
        assert Verb.CONTAIN in {undo.verb for undo in traits(kind).undo}


def test_a_machine_that_reads_files_goes_back_when_it_is_served_the_old_ones():
    """Plain files have no version check: a revert is what the next poll brings."""
    assert traits(Kind.FILES).reverts


def test_a_kind_that_only_contains_does_not_revert():
    """Saying "reverts" of a client that refuses older content would be a lie."""
    only = Traits(1, 1, 1, undo=(Undo(Verb.CONTAIN, "nobody new"),))

    assert not only.reverts


def test_freshness_files_are_known_by_pattern():
    """A re-signed index in any suite is the same index."""
    apt = Traits(1, 1, 1, undo=(), freshness=("dists/*/InRelease", "*.md5"))

    assert apt.is_freshness("dists/stable/InRelease")
    assert apt.is_freshness("rules.tar.gz.md5")
    assert not apt.is_freshness("pool/InRelease")
    assert not traits(Kind.FILES).is_freshness("SHA256SUMS")


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("pool/main/o/openssh/openssh-server_9.2p1-2+deb12u3_amd64.deb", "openssh-server:amd64"),
        ("pool/main/l/libc/libc6_2.36-9_i386.deb", "libc6:i386"),
        ("tool_1_all.deb", "tool:all"),
        ("pool/tool-1.deb", ""),
        ("pool/tool_1.deb", ""),
        ("pool/tool_1_2_all.deb", ""),
        ("pool/tool_1_all.udeb", ""),
        ("pool/_1_all.deb", ""),
        ("dists/stable/InRelease", ""),
    ],
)
def test_all_versions_of_a_package_have_its_name_and_architecture_in_common(path, package):
    """Who had one version will ask for the next; a name that does not tell is always fetched."""
    assert package_of(path) == package
    in_pool = path.startswith("pool/")
    assert traits(Kind.APT).is_deferrable(path) is (bool(package) and in_pool)


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("Packages/b/bash-5.1.8-9.el9.x86_64.rpm", "bash:x86_64"),
        ("Packages/p/python3-dnf-plugin-x-4.3.0-13.el9.noarch.rpm", "python3-dnf-plugin-x:noarch"),
        ("other+more-3~rc1^git-1.x86_64.rpm", "other+more:x86_64"),
        ("tool-1.noarch.rpm", ""),
        ("tool-1-1.rpm", ""),
        ("tool--1.noarch.rpm", ""),
        ("-1-1.noarch.rpm", ""),
        ("repodata/primary.xml.gz", ""),
    ],
)
def test_the_name_of_an_rpm_ends_where_its_version_begins(path, package):
    """Names have hyphens, too; versions and releases have none."""
    assert package_of(path) == package
    assert traits(Kind.RPM).is_deferrable(path) is bool(package)
    assert not traits(Kind.FILES).is_deferrable(path)

"""Risk classes: how much of a fleet a release may put at risk, by the packages it changes.

A broken kernel or boot loader leaves a machine that nobody can heal from afar, a broken SSH one
that nobody can get into, and a broken editor a person who is annoyed. So where the operator named
no budget, releases that touch the first two get a smaller one.

The names are those of Debian's binary packages.
"""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final


class Risk(StrEnum):
    """What is lost with a machine that a bad release breaks; the worst first."""

    BOOT = "boot chain"
    ACCESS = "crypto and ssh"
    OTHER = "other"


PACKAGES: Final[Mapping[Risk, tuple[str, ...]]] = MappingProxyType(
    {
        Risk.BOOT: (
            "linux-image-*", "linux-modules-*", "linux-base", "linux-firmware", "firmware-*",
            "*-microcode", "*-dkms", "grub-*", "grub2-*", "shim-*", "systemd-boot*",
            "initramfs-tools*", "dracut*", "busybox*", "klibc-utils", "kmod", "libkmod2",
            "systemd", "systemd-sysv", "libsystemd*", "udev", "libudev1", "init", "sysvinit-*",
            "libc6", "libc-bin", "base-files", "bash", "dash", "coreutils", "util-linux", "mount",
            "libmount1", "libblkid1", "e2fsprogs", "xfsprogs", "btrfs-progs", "lvm2", "dmsetup",
            "libdevmapper*", "mdadm", "cryptsetup*", "libcryptsetup*", "dpkg", "apt", "libapt-*",
        ),
        Risk.ACCESS: (
            "openssh-*", "dropbear*", "openssl", "libssl*", "libgnutls*", "libgcrypt*", "libnss3",
            "libnettle*", "libhogweed*", "libcrypt1", "gnupg*", "gpgv*", "gpg", "ca-certificates",
            "debian-archive-keyring", "libpam*", "login", "passwd", "sudo*", "sssd*", "libsss-*",
            "libnss-*", "krb5-*", "libkrb5*", "libgssapi*", "ifupdown", "network-manager",
            "netplan*", "isc-dhcp-client", "dhcpcd*", "systemd-resolved", "resolvconf",
            "iptables", "nftables", "libnftables*", "wireguard*", "openvpn*", "strongswan*",
        ),
    }
)  # fmt: skip
"""Shell patterns of package names; a package of none is of the class "other"."""

_PARTS: Final[Mapping[Risk, int]] = MappingProxyType({Risk.BOOT: 4, Risk.ACCESS: 2, Risk.OTHER: 1})


def worst(packages: Iterable[str]) -> tuple[Risk, str]:
    """The worst class that a release touches, and the first package by name that is of it.

    Args:
        packages: Names of what it changes, without architectures.

    Returns:
        The class, and "" where it is the last.
    """
    names = sorted(set(packages))
    for risk, patterns in PACKAGES.items():
        for name in names:
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return risk, name
    return Risk.OTHER, ""


def budget_for(risk: Risk, usual: int) -> int:
    """The part of a fleet's usual budget that a class gets, rounded up, machines >= 1."""
    return math.ceil(usual / _PARTS[risk])

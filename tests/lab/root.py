"""The root file system that all hosts of all labs share, read-only: Debian with everything that a node of a site has."""

from __future__ import annotations

from pathlib import Path

from . import debian
from .build import FILES, base_folder, build_once, digest
from .debian import debootstrap, suite
from .report import run

PACKAGES = (
    # a machine
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "procps", "psmisc", "iproute2", "iputils-ping", "bridge-utils",
    "netcat-openbsd", "openssh-server", "openssh-client", "sudo", "rsync", "python3", "python3-apt", "jq", "less",
    "ca-certificates", "util-linux-extra", "dmidecode", "lvm2",
    # the cluster, both of its tools, and fencing
    "corosync", "pacemaker", "pacemaker-cli-utils", "crmsh", "pcs", "resource-agents", "cluster-glue", "libxml2-utils",
    "sbd", "fence-agents", "ipmitool",
    # storage
    "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-common", "ceph-mgr-modules-core", "python3-rbd", "python3-rados",
    # virtual machines
    "qemu-system-x86", "qemu-utils", "qemu-block-extra", "libvirt-daemon", "libvirt-daemon-system",
    "libvirt-daemon-system-systemd", "libvirt-daemon-driver-storage-rbd", "libvirt-clients", "python3-libvirt",
    "seabios", "ovmf",
)  # fmt: skip
SETUP = FILES / "root-setup.sh"


def path() -> Path:
    """Return where the root made from this recipe is, or will be."""
    return base_folder() / f"root-{digest(suite(), ' '.join(PACKAGES), Path(debian.__file__), SETUP)}"


def build() -> None:
    """Make the root unless it is there."""
    build_once(path(), _make)


def _make(work: Path, log: Path) -> None:
    """Unpack the packages and set up what is the same on every host."""
    debootstrap(work, "apt", PACKAGES, log)
    run(["chroot", work, "sh", "-s"], step="root-setup.sh", log=log, stdin=SETUP.read_text())

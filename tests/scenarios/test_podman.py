"""A container in a guest, by Debian's podman: Pacemaker starts and watches it, and restarts it, also after a power cut."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.lab.debian import download
from tests.scenarios.site import until
from tests.scenarios.test_deploy import booted, domain
from tests.scenarios.test_services import BOOT, all_started, cut_power, services

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite
    from tests.scenarios.test_deploy import Guest

RUN_ON = ("crmsh-root", "pcs-hardened")
pytestmark = pytest.mark.thorough
# the agent looks at a container by running /bin/true in it
IMAGE = """mkdir -p /tmp/image/bin; cp /bin/busybox /tmp/image/bin; for name in true sleep; do ln -s busybox /tmp/image/bin/$name; done
tar -C /tmp/image -c . | podman import --quiet - beat"""
# without its log's place in the network, and with what ends a sleep at once
OPTIONS = ("run_opts=--network=none --stop-signal=KILL", "run_cmd=sleep 1000000")


def give_podman(guest: Guest, folder: Path) -> None:
    """Install podman in the guest, which has no package sources, and make an image there."""
    status, packages = folder / "status", folder / "podman"
    status.write_text(guest.sh("cat /var/lib/dpkg/status"))
    download(["podman"], status, packages, folder / "log")
    with tarfile.open(fileobj=(data := io.BytesIO()), mode="w") as archive:
        archive.add(packages, "/")
    guest.sh("mkdir /var/tmp/podman; tar -C /var/tmp/podman -x", data.getvalue())
    guest.sh("DEBIAN_FRONTEND=noninteractive dpkg --install /var/tmp/podman/*.deb; rm -r /var/tmp/podman", timeout=600)
    guest.sh(f"{IMAGE}; sync", timeout=300)


def test_a_container(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Killed, it is restarted and counted; after the power cut it is back; removed, nothing of it is left in the guest."""
    site.done("create", "-n", vm, "--xml", domain(site, tmp_path, vm, 139), "-i", site.image("debian"))
    guest = booted(site, tmp_path, 139)
    assert guest.deploy(vm, "--connect-timeout", str(BOOT)).code == 0
    give_podman(guest, tmp_path)
    assert "is Started" in site.done("add_service", "-n", vm, "box", "--container", "localhost/beat", *OPTIONS).out
    assert services(site)["box"]["Kind"] == "ocf:heartbeat:podman"

    process = f"podman inspect --format '{{{{.State.Pid}}}}' {vm}.box"
    first = guest.sh(process)
    guest.sh(f"kill -KILL {first}")
    until(lambda: services(site)["box"]["Failures"] == 1, 60, "the failure is counted")
    until(lambda: all_started(site, "box"), 120, "the container is restarted")
    assert services(site)["box"]["Reason"] == f"monitor failed on {vm}-guest: it was no longer running"
    assert guest.sh(process) != first

    cut_power(site, vm)
    until(lambda: all_started(site, "box"), BOOT, "the container is back")
    assert int(guest.sh(process)) > 0
    site.done("remove_service", "-n", vm, "box")
    assert guest.sh("podman ps --all --quiet") == ""
    site.discard(vm)

"""What was seen live in vm_manager 2.0, and must not happen here; docs/defects.rst lists what was found in its source.

A killed import and a VM that cannot start are in test_failures.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import status, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite

# Either tool, either login.
RUN_ON = ("crmsh-root", "pcs-hardened")
pytestmark = pytest.mark.thorough


def test_killed_before_the_end(site: LabSite, vm: str, xml: str, big_image: str) -> None:
    """A kill -9 as soon as the cluster has the VM: it is whole and managed, it starts by itself, and every verb takes it."""
    client = site.start_vm_mgr("create", "-n", vm, "--xml", xml, "-i", big_image)
    until(lambda: f"system_{vm}" in site.rbd("ls"), 90, "the import has begun")
    with held(site):  # so that the VM is not up, and the client not done, before it is killed
        until(lambda: site.primitive(vm) is not None, 180, "the cluster has the VM")
        assert client.poll() is None
        client.kill()
        client.wait()
    cib = site.cib()
    assert cib.find(f".//primitive[@id='{vm}']/meta_attributes/nvpair[@name='is-managed']") is None
    assert cib.find(f".//rsc_location[@rsc='{vm}']") is not None
    site.done("repair", "-n", vm, "--force")
    until(lambda: status(site, vm)[0] == "Started", 60, "the VM runs")
    for verb in ("start", "enable"):
        assert "already" in site.done(verb, "-n", vm).err
    site.discard(vm)
    assert site.traces(vm) == []


@contextmanager
def held(site: LabSite) -> Iterator[None]:
    """Let libvirt answer nobody for a while."""
    signal = ["systemctl", "kill", "--kill-whom=main", "libvirtd", "--signal"]
    for host in site.hypervisors:
        site.on(host, *signal, "STOP")
    try:
        yield
    finally:
        for host in site.hypervisors:
            site.on(host, *signal, "CONT")


@contextmanager
def failing(site: LabSite, program: str) -> Iterator[None]:
    """Let a program fail on every machine."""
    hosts = [*site.hypervisors, *site.observers]
    path = site.on(hosts[0], "sh", "-c", f"command -v {program}").strip()
    for host in hosts:
        site.on(
            host,
            "sh",
            "-c",
            f"mv {path} /root/kept && printf '#!/bin/sh\\necho out of order >&2\\nexit 1\\n' > {path} && chmod +x {path}",
        )
    try:
        yield
    finally:
        for host in hosts:
            site.on(host, "mv", "/root/kept", path)


def test_failing_cluster_tool_is_an_error(site: LabSite, vm: str, xml: str, empty_image: str) -> None:
    """Neither a tool that fails nor a cluster that does not answer is taken for a status: errors, and nothing on stdout."""
    site.done("create", "-n", vm, "--xml", xml, "-i", empty_image, "--nostart")
    with failing(site, {"crmsh": "crm"}.get(site.environ["LAB_TOOLS"], "pcs")):
        answer = site.vm_mgr("disable", "-n", vm)
        assert (answer.code, "out of order" in answer.err, answer.out) == (1, True, ""), answer.err
        assert status(site, vm) == ("Stopped", None)
    with failing(site, "cibadmin"):
        for words in (["list"], ["status", "-n", vm], ["start", "-n", vm], ["disable", "-n", vm]):
            answer = site.vm_mgr(*words)
            assert (answer.code, "out of order" in answer.err, answer.out) == (4, True, ""), answer.err
    site.done("remove", "-n", vm)


def test_remove_of_an_unknown_vm_is_refused(site: LabSite) -> None:
    """Nothing was removed, so it is not said to be."""
    answer = site.vm_mgr("remove", "-n", "nobody")
    assert (answer.code, "nobody" in answer.err, answer.out) == (3, True, "")


def test_observer_without_an_agent(site: LabSite, vm: str, xml: str, empty_image: str) -> None:
    """An observer that has no resource agent is never asked about the VM, so a stop is over when the VM has stopped."""
    (observer,) = site.observers
    assert "no" in site.on(observer, "sh", "-c", "ls /usr/lib/ocf/resource.d/*/VirtualDomain 2>/dev/null || echo no")
    site.done("create", "-n", vm, "--xml", xml, "-i", empty_image, "--stop-timeout", "12")
    assert "is Stopped." in site.done("stop", "-n", vm).out
    assert site.cib().find(f"status/node_state[@uname='{observer}']//lrm_resource[@id='{vm}']") is None
    site.done("remove", "-n", vm)

"""What this site wants of its machines and VMs. ``vm-mgr check`` runs it beside its own checks; ``vmmgr.checks`` tells how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sample_site.naming import complaint
from vmmgr.checks import explained

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node


@explained(
    why="Who is called at night must know which cabinet to open.",
    remedy="On {host}: `hostnamectl set-location 'ROOM, CABINET'`.",
)
def test_location(host: Node) -> None:
    """The machine says where it stands."""
    answer = host.run("cat /etc/machine-info")
    assert re.search(r"^LOCATION=.", answer.stdout, re.MULTILINE), "/etc/machine-info has no LOCATION"


@explained(
    why="Shift schedules and the archive go by these names.",
    remedy="`vm-mgr clone` it under a name that fits, then `vm-mgr remove` the old one.",
)
def test_names(cluster: Node) -> None:
    """The VMs are named by the site's rule."""
    answer = cluster.run("cibadmin --query --xpath \"//primitive[@type='VirtualDomain']\"")
    if answer.failed:
        pytest.skip("the cluster has no VM, or does not answer")
    names = re.findall(r'<primitive [^>]*\bid="([^"]+)"', answer.stdout)
    wrong = [reason for name in names if (reason := complaint(name))]
    assert not wrong, " ".join(wrong)

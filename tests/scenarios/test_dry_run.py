"""``--dry-run`` on real sites: nothing changes, and what was printed is what the real run does."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.pasting import pasted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-root", "pcs-hardened")
pytestmark = pytest.mark.thorough
# What each run makes anew and says so: the tokens of leases.
TOKENS = re.compile(r"\b[0-9a-f]{8}\b(?! \(lease\))")
# What waits for Pacemaker changes nothing; in a dry run there is nothing to wait for.
WAIT = "sh -c 'sleep "
LOGGED = re.compile(r"^(\w+): ((?:(?!^\w+: ).)*?): exit code (\d+)(?: in [\d.]+ s)?$", re.MULTILINE | re.DOTALL)


STORAGE = """rados --pool=rbd ls | sort; rbd ls | while read -r image; do rbd info "$image"; rbd image-meta list "$image"; done
rbd group ls | while read -r group; do echo "$group"; rbd group image ls "$group"; done"""


def everything(site: LabSite) -> dict[str, str]:
    """Return all that a verb could change."""
    found = {host: site.on(host, "sh", "-c", "sha256sum /etc/pacemaker/*; virsh list --all") for host in site.hypervisors}
    cib = site.cib()
    return found | {
        "cib": configuration(cib),
        "epoch": cib.get("epoch", ""),
        "storage": site.on(site.anywhere, "sh", "-c", STORAGE),
    }


def configuration(cib: ET.Element) -> str:
    """Return the configuration in a CIB, one element on each line."""
    section = cib.find("configuration")
    assert section is not None
    ET.indent(section)
    section.tail = None
    return ET.tostring(section, encoding="unicode")


def logged(log: str) -> list[tuple[str, str]]:
    """Return what ``-vv`` says was run, but for what waits: host and command."""
    return [(host, TOKENS.sub("TOKEN", text)) for host, text, _ in LOGGED.findall(log) if not text.startswith(WAIT)]


def patched(text: str, difference: str) -> str:
    """Apply a unified diff of one file."""
    old, new = text.splitlines(), []
    position = 0
    for hunk in re.split(r"^@@ -(\d+).*@@\n", difference, flags=re.MULTILINE)[1:]:
        if hunk.isdecimal():
            start = max(int(hunk) - 1, 0)
            new += old[position:start]
            position = start
            continue
        for line in hunk.splitlines():
            if line[0] != "+":
                assert old[position] == line[1:]
                position += 1
            if line[0] != "-":
                new.append(line[1:])
    return "\n".join([*new, *old[position:]])


def check(site: LabSite, folder: Path, *words: str) -> str:
    """Run a verb dry and then for real; compare, and return what was printed."""
    before = everything(site)
    dry = site.done("-vv", *words, "--dry-run")
    assert everything(site) == before
    real = site.done("-vv", *words)
    folder.mkdir()
    printed = [(host, TOKENS.sub("TOKEN", shlex.join(argv))) for host, argv, _ in pasted(dry.out, folder)]
    done = logged(real.err)
    for host in {host for host, _ in printed}:
        expected = [command for where, command in printed if where == host]
        assert [command for where, command in done if where == host and command in expected] == expected
    # whatever else the real run did, the dry run did as well: it reads
    assert {command for _, command in done} <= {command for _, command in [*printed, *logged(dry.err)]}
    _, _, difference = dry.out.partition("# The configuration of the cluster in the end:\n")
    assert configuration(site.cib()) == patched(before["cib"], difference.rpartition("\nIt would end with: ")[0])
    assert dry.out.endswith(f"\nIt would end with: {real.out}")
    return dry.out


def test_nothing_changes_and_the_rest_comes_true(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Each verb, dry and then for real: the same commands on the same hosts, and the configuration that was foretold."""
    xml = site.domain(tmp_path, vm, 131)
    # or the resource agent would add these to the CIB when it starts the VM
    params = [f"autoset_utilization_{kind}=false" for kind in ("cpu", "host_memory", "hv_memory")]
    words = ("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--pacemaker-params", *params)
    made = check(site, tmp_path / "create", *words)
    assert f'+    <primitive id="{vm}"' in made
    check(site, tmp_path / "stop", "stop", "--force", "-n", vm)
    check(site, tmp_path / "disable", "disable", "-n", vm)
    check(site, tmp_path / "enable", "enable", "-n", vm, "--nostart")
    check(site, tmp_path / "start", "start", "-n", vm)
    site.booted(131)
    check(site, tmp_path / "remove", "remove", "-n", vm)
    assert site.traces(vm) == []
    answer = site.vm_mgr("stop", "-n", vm, "--dry-run")
    assert (answer.code, answer.out) == (3, "")

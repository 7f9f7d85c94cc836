"""The same verbs through crmsh and through pcs make the same CIB, also when somebody edits it while they are at work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("three",)
VM, FLAG = "parity", "/run/foreign-edit"
# Comes between vm-mgr's reading and its change: edits the configuration once whenever the file is there, then goes on as it should.
FOREIGN = """sh -c 'if value=$(cat {flag} 2>/dev/null); then
  rm {flag}
  cibadmin --modify --allow-create --scope=crm_config --xml-text \\
    "<cluster_property_set id=\\"foreign\\"><nvpair id=\\"foreign-edit\\" name=\\"foreign-edit\\" value=\\"$value\\"/></cluster_property_set>"
fi
head=$(cibadmin --query --no-children) || exit
for part in " admin_epoch=\\"$1\\"" " epoch=\\"$2\\""; do
  case $head in *"$part"*) ;; *) exit 75 ;; esac
done' sh {{{{ admin_epoch }}}} {{{{ epoch }}}}
"""
OTHERS = """<primitive id="parity-{0}" class="ocf" provider="pacemaker" type="Dummy">
<meta_attributes id="parity-{0}-meta"><nvpair id="parity-{0}-role" name="target-role" value="Stopped"/></meta_attributes></primitive>"""
# What an administrator may have added: every kind of constraint that can name a VM.
BY_HAND = """<constraints>
<rsc_location id="parity-night" rsc="parity"><rule id="parity-night-rule" score="7">
<date_expression id="parity-night-date" operation="date_spec"><date_spec id="parity-night-spec" hours="0-6"/></date_expression></rule></rsc_location>
<rsc_location id="parity-both" node="{host}" score="3"><resource_set id="parity-both-0"><resource_ref id="parity"/>
<resource_ref id="parity-a"/></resource_set></rsc_location>
<rsc_order id="parity-order" first="parity-a" then="parity" kind="Optional"/>
<rsc_order id="parity-orders"><resource_set id="parity-orders-0" sequential="false"><resource_ref id="parity-a"/><resource_ref id="parity-b"/>
</resource_set><resource_set id="parity-orders-1"><resource_ref id="parity"/></resource_set></rsc_order>
<rsc_colocation id="parity-pair" rsc="parity-b" with-rsc="parity" score="-5"/>
<rsc_ticket id="parity-ticket" rsc="parity" ticket="shift" loss-policy="stop"/>
</constraints>"""


class Story:
    """The verbs on one VM, done with one tool; after each of them the configuration is noted."""

    def __init__(self, site: LabSite, tool: str, folder: Path) -> None:
        self.site, self.noted, self.edits = site, list[tuple[str, list[str]]](), 0
        templates = folder / "templates"
        (templates / "pacemaker").mkdir(parents=True, exist_ok=True)
        (templates / "pacemaker/assert_unchanged.j2").write_text(FOREIGN.format(flag=FLAG))
        self.config = folder / f"{tool}.yaml"
        chosen = {"inventory": site.environ["VMMGR_INVENTORY"], "cluster_driver": tool, "templates": str(templates)}
        self.config.write_text(json.dumps({"default_site": "lab", "sites": {"lab": chosen}}))

    def do(self, *words: str) -> None:
        """Run a verb, with an edit of somebody else between its reading and its change, which must be there in the end."""
        self.edits += 1
        self.site.on(self.site.hypervisors[0], "sh", "-c", f"echo {self.edits} > {FLAG}")
        answer = self.site.vm_mgr("--config", str(self.config), *words, env={"VMMGR_INVENTORY": ""})
        assert answer.code == 0, answer.err
        configuration = self.configuration()
        foreign = [item for item in configuration if 'id="foreign"' in item]
        assert [item for item in foreign if f'value="{self.edits}"' in item], f"{words}: {foreign}"
        self.noted.append((words[0], configuration))

    def configuration(self) -> list[str]:
        """Return all that the configuration has, as canonical XML, without regard to the order."""
        found = self.site.cib().iterfind("configuration/*/*")
        return sorted(ET.canonicalize(ET.tostring(item), strip_text=True) for item in found)

    def play(self, folder: Path) -> None:
        """Go through all verbs that change the cluster's configuration."""
        site, host = self.site, self.site.hypervisors[1]
        for other in "abc":
            site.on(site.anywhere, "cibadmin", "--create", "--scope=resources", "--xml-text", OTHERS.format(other))
        self.do(
            "create", "-n", VM, "--xml", site.domain(folder, VM, 140), "-i", site.image("tiny"), "--nostart", "--preferred-host", host,
            "--pacemaker-params", "autoset_utilization_cpu=false", "autoset_utilization_host_memory=false",
            "autoset_utilization_hv_memory=false", "--pacemaker-utilization", "cpu=1", "--pacemaker-meta", "migration-threshold=3",
        )  # fmt: skip
        self.do("add_colocation", "-n", VM, f"{VM}-a")
        self.do("add_colocation", "-n", VM, f"{VM}-a", f"{VM}-b", "--apart", "--strong")
        site.on(
            site.anywhere,
            "cibadmin",
            "--modify",
            "--allow-create",
            "--scope=constraints",
            "--xml-text",
            BY_HAND.format(host=host),
        )
        before = self.configuration()
        self.do("disable", "-n", VM)
        assert not [item for item in self.configuration() if f'"{VM}"' in item]
        # while it is disabled, the cluster cannot have it
        self.do("add_colocation", "-n", VM, f"{VM}-c")
        self.do("enable", "-n", VM, "--nostart")
        self.do("remove_colocation", "-n", VM, f"{VM}-c")
        assert self.without_foreign(self.configuration()) == self.without_foreign(before)
        # the ticket and the order are in the way, so that nothing has to be waited for
        self.do("start", "-n", VM, "--no-wait")
        self.do("stop", "-n", VM)
        self.do("remove_colocation", "--id", f"colocation-{VM}-with{VM}-a")
        self.do("remove", "-n", VM)
        # what the other one is told beside it is no business of the VM's
        rest = [f"{VM}-both", f"{VM}-both-0", "parity-a"]
        assert site.traces(VM) == [f"{VM}-{other}{part}" for other in "abc" for part in ("", "-meta", "-role")] + rest

    def without_foreign(self, configuration: list[str]) -> list[str]:
        """Leave out the edits of somebody else."""
        return [item for item in configuration if 'id="foreign"' not in item]

    def clean(self) -> None:
        """Take away what was made by hand."""
        for name in (f"{VM}-both", f"{VM}-a", f"{VM}-b", f"{VM}-c", "foreign"):
            self.site.on(self.site.anywhere, "cibadmin", "--delete", "--xpath", f"//*[@id='{name}']")


@pytest.mark.thorough
def test_both_tools_make_the_same_cib(site: LabSite, tmp_path: Path) -> None:
    """Verb by verb the configuration is the same whichever tool made it; no edit of somebody else is lost on the way."""
    told = {}
    for tool in ("crmsh", "pcs"):
        story = Story(site, tool, tmp_path)
        story.play(tmp_path)
        story.clean()
        told[tool] = story.noted
    assert [verb for verb, _ in told["crmsh"]] == [verb for verb, _ in told["pcs"]]
    for (verb, one), (_, other) in zip(told["crmsh"], told["pcs"], strict=True):
        assert one == other, verb

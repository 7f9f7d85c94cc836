"""The same verbs through crmsh and through pcs have the same effect, also when somebody edits the CIB while they are at work."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING

from tests.scenarios.journey import READING, VERBS, VM, configuration, journey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("three",)
FLAG = "/run/foreign-edit"
# Comes between vm-mgr's reading and each of its changes: edits the configuration, then goes on as it should, which is to refuse;
# lets the next attempt pass. Only where the file is, whose content tells which verb is at work; notes that it has done so.
FOREIGN = """sh -c 'if value=$(cat {flag} 2>/dev/null); then
  mv {flag} {flag}.done; touch {flag}.made
  cibadmin --modify --allow-create --scope=crm_config --xml-text \\
    "<cluster_property_set id=\\"foreign\\"><nvpair id=\\"foreign-edit\\" name=\\"foreign-edit\\" value=\\"$value by $$ on $(hostname)\\"/></cluster_property_set>"
elif [ -e {flag}.done ]; then mv {flag}.done {flag}; fi
head=$(cibadmin --query --no-children) || exit
for part in " admin_epoch=\\"$1\\"" " epoch=\\"$2\\""; do
  case $head in *"$part"*) ;; *) exit 75 ;; esac
done' sh {{{{ admin_epoch }}}} {{{{ epoch }}}}
"""
# All that Ceph has of the VM and its clone, but for when it was made and how far a clone is copied.
STORED = """for image in $(rbd ls | grep "$1"); do
  echo "image $image"; rbd info "$image" | grep -E "^.(size|features)"; rbd image-meta list "$image"
  rbd --format=json snap ls --all "$image" | sed "s/}},{/}}\\n{/g" | grep -v '"type":"trash"' |
    grep -o -e '"name":"[^"]*"' -e '"type":"[^"]*"' -e '"protected":"[^"]*"'; done
for group in $(rbd group ls | grep "$1"); do echo "group $group"; rbd group image ls "$group"; rbd group snap ls "$group"; done
for object in $(rados --pool=rbd ls | grep "^vm-mgr.*$1" | sort); do echo "object $object"
  case $object in vm-mgr.*) rados --pool=rbd get "$object" - ;; esac; done"""
FILES = 'for file in /etc/pacemaker/*"$1"*; do if [ -e "$file" ]; then echo "$file"; cat "$file"; fi; done'
# What is another one each time: UUIDs, MAC addresses, when a safety snapshot was taken, and the names that Ceph gives.
GENERATED = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|52:54:00(?::[0-9a-f]{2}){3}|\d{8}-\d{6}|\.group\.[0-9a-f_]+|Time: .*"
)


class Story:
    """The verbs done with one tool; after each of them what it has told and what the site then has is noted."""

    def __init__(self, site: LabSite, tool: str, folder: Path) -> None:
        self.site, self.tool, self.noted = site, tool, list[tuple[str, list[str]]]()
        self.edits, self.edited = 0, set[str]()
        # one of them speaks for the cluster; what has to hold a guest still is done on its hypervisor
        self.hosts = {(site.observers or site.hypervisors)[0], site.hypervisors[1]}
        templates = folder / "templates"
        (templates / "pacemaker").mkdir(parents=True, exist_ok=True)
        (templates / "pacemaker/assert_unchanged.j2").write_text(FOREIGN.format(flag=FLAG))
        self.config = folder / f"{tool}.yaml"
        chosen = {"inventory": site.environ["VMMGR_INVENTORY"], "cluster_driver": tool, "templates": str(templates)}
        self.config.write_text(json.dumps({"default_site": "lab", "sites": {"lab": chosen}}))

    def do(self, *words: str) -> None:
        """Run a verb, with edits of somebody else between its reading and its changes, which must be there in the end."""
        self.edits += 1
        for host in self.hosts:
            self.site.on(host, "sh", "-c", f"rm -f {FLAG}.*; echo edit {self.edits} of {self.tool} > {FLAG}")
        answer = self.site.vm_mgr("--config", str(self.config), *words, env={"VMMGR_INVENTORY": ""})
        assert answer.code == 0, answer.err
        if any(self.site.on(host, "sh", "-c", f"ls {FLAG}.made 2>/dev/null || true") for host in self.hosts):
            self.edited.add(words[0])
            edit = self.site.cib().find("configuration/crm_config/cluster_property_set[@id='foreign']/nvpair")
            assert edit is not None
            assert edit.get("value", "").startswith(f"edit {self.edits} of {self.tool} by "), f"{words}: {edit.attrib}"
        state = [] if words[0] in READING else self.state()
        self.noted.append((" ".join(words), [GENERATED.sub("…", text) for text in (answer.out, *state)]))

    def state(self) -> list[str]:
        """Return what the cluster, Ceph and the hypervisors have."""
        stored = self.site.on(self.site.anywhere, "sh", "-c", STORED, "sh", VM)
        files = self.site.on_powered(FILES, VM)
        return [*configuration(self.site), stored, *(f"{host} {text}".strip() for host, text in files.items())]


def test_both_tools_do_the_same(site: LabSite, tmp_path: Path) -> None:
    """Verb by verb all is the same whichever tool was used, and no edit of somebody else is lost on the way."""
    told = {}
    for tool in ("crmsh", "pcs"):
        story = Story(site, tool, tmp_path)
        for words in journey(site, tmp_path):
            story.do(*words)
        assert story.edited == VERBS - READING
        told[tool] = story.noted
    site.on(site.anywhere, "cibadmin", "--delete", "--xpath", "//*[@id='foreign']")
    assert {words.split()[0] for words, _ in told["crmsh"]} == VERBS
    assert [words for words, _ in told["crmsh"]] == [words for words, _ in told["pcs"]]
    for (words, one), (_, other) in zip(told["crmsh"], told["pcs"], strict=True):
        lines = ["\n".join(noted).splitlines() for noted in (one, other)]
        assert one == other, "\n".join([words, *difflib.unified_diff(*lines, "crmsh", "pcs", lineterm="", n=1)])

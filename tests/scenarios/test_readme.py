"""The README's session, run command by command; what it shows is what comes, but for the host that the cluster chose."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import yaml

from tests.scenarios.site import ROOT, VM_MGR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-hardened",)


def session() -> Iterator[tuple[str, str]]:
    """Yield the commands of the README's section "What it looks like", each with the output shown for it."""
    text = ROOT.joinpath("README.rst").read_text(encoding="utf-8")
    section = text.split("What it looks like\n")[1].split("\nThe verbs\n")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    for part in re.split(r"^\$ ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.rstrip("\n")


def neutral(output: str) -> str:
    """Replace the host that Pacemaker chose."""
    return re.sub(r"\bhv\d\b", "hvN", output).rstrip("\n")


def test_session_of_the_readme(site: LabSite, tmp_path: Path) -> None:
    """Each command is run in turn, in a folder that has the files named there."""
    shutil.copy(site.image("tiny"), tmp_path / "web.qcow2")
    (tmp_path / "web.xml").write_text(site.lab("domain", "web", "120"))
    commands = list(session())
    assert len(commands) > 8
    for command, shown in commands:
        program, *words = shlex.split(command)
        assert program == "vm-mgr"
        if words[0] in ("stop", "disable", "remove") and site.runs_on("web"):
            site.booted(120)  # else it would not heed its power button yet, and the stop take its full time
        done = subprocess.run(
            [VM_MGR, *words],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=site.env(),
        )
        print(f"$ {command}\n{done.stdout}", end="")
        assert neutral(done.stdout) == neutral(shown), command


def test_sample_configuration_reaches_the_site(site: LabSite, tmp_path: Path) -> None:
    """A configuration file in the shape of the README's names the site; the environment has nothing to add."""
    own = {"default_site": "plant", "sites": {"plant": {"inventory": site.environ["VMMGR_INVENTORY"]}}}
    own["sites"]["plant"] |= {"key": site.environ["VMMGR_KEY"], "known_hosts": site.environ["VMMGR_KNOWN_HOSTS"]}  # type: ignore[index]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(own))
    bare = {"VMMGR_INVENTORY": "", "VMMGR_KEY": "", "VMMGR_KNOWN_HOSTS": ""}
    for words in (["--config", str(file), "list"], ["list", "--config", str(file), "--site", "plant"]):
        answer = site.vm_mgr(*words, env=bare)
        assert answer.code == 0, answer.err

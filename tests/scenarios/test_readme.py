"""The README's sessions, run command by command; what they show is what comes, but for hosts, times, sizes and the like."""

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


def sessions(page: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each section of a page that has commands, with each command and the output shown for it."""
    lines = ROOT.joinpath(page).read_text(encoding="utf-8").splitlines()
    starts = [number - 1 for number, line in enumerate(lines) if line and set(line) == {"-"}]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text = "\n".join(line[4:] for line in lines[start:end] if line.startswith("    ") or not line)
        parts = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
        if parts:
            yield lines[start], [(command, output.rstrip("\n")) for command, _, output in parts]


def neutral(output: str) -> str:
    """Replace what is another each time: the host that Pacemaker chose, addresses, times, counts, sizes, and the configuration's number and lines."""
    output = re.sub(r"^(done' sh \d+) \d+$", r"\1 42", output, flags=re.MULTILINE)
    output = re.sub(r"^@@ .* @@$", "@@ @@", output, flags=re.MULTILINE)
    output = re.sub(r"\bhv\d\b", "hvN", output)
    output = re.sub(r"\b10\.\d+\.\d+\.\d+\b", "10.0.0.101", output)
    output = re.sub(r"\b\d+ packages\b", "50 packages", output)
    output = re.sub(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?", r"2026-01-01\g<1>00:00:00", output)
    return re.sub(r"\d+(\.\d+)? ([KMG]iB)", "1 MiB", output).rstrip("\n")


def test_sessions_of_the_readme(site: LabSite, tmp_path: Path) -> None:
    """Each command is run in turn, in a folder that has the files named there; every section finds a running VM web."""
    shutil.copy(site.image("tiny"), tmp_path / "web.qcow2")
    (tmp_path / "web.xml").write_text(site.lab("domain", "web", "120"))
    found = list(sessions("README.rst"))
    assert found[0][0] == "What it looks like"
    for section, commands in found:
        print(f"== {section}")
        if not commands[0][0].startswith("vm-mgr create "):
            ready(site, tmp_path)
        for command, shown in commands:
            run(site, tmp_path, command, shown, site.env())
    for row in site.done("list", "-f", "json").rows:
        site.discard(row["Name"])


def ready(site: LabSite, folder: Path) -> None:
    """Let the VM web run, whatever a section before has left of it."""
    state = site.done("status", "-n", "web", "-f", "value", "-c", "Status").out.strip()
    files = ["--xml", str(folder / "web.xml"), "--image", str(folder / "web.qcow2")]
    words = {"Undefined": ["create", *files], "Disabled": ["enable"]}.get(state, ["start"])
    site.done(*words, "-n", "web")


def run(site: LabSite, folder: Path, command: str, shown: str, env: dict[str, str]) -> None:
    """Run a command of a page, and compare what it prints."""
    program, *words = shlex.split(command)
    assert program == "vm-mgr"
    if words[0] in ("stop", "disable", "remove", "rollback") and "--dry-run" not in words and site.runs_on("web"):
        site.booted(120)  # else it would not heed its power button yet, and the stop take its full time
    done = subprocess.run(
        [VM_MGR, *words],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=env,
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

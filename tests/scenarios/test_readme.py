"""The sessions of README and documentation, run command by command; what they show is what comes, but for hosts, times and the like."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.scenarios.site import ROOT, VM_MGR, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-hardened",)


PAGES = ("README.rst", "docs/tutorial.rst", "docs/howto-update.rst", "docs/howto-replace.rst")


# A block that is not run, with the comment before it that says why.
_NOT_RUN = re.compile(r"^\.\. not run: .*\n\n::\n\n(?:(?:    .*)?\n)*", re.MULTILINE)


def sessions(page: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each section of a page that has commands, with each command and the output shown for it."""
    lines = _NOT_RUN.sub("", ROOT.joinpath(page).read_text(encoding="utf-8")).splitlines()
    starts = [number - 1 for number, line in enumerate(lines) if set(line) in ({"-"}, {"="})]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text = "\n".join(line[4:] for line in lines[start:end] if line.startswith("    ") or not line)
        parts = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
        if parts:
            yield lines[start], [(command, output.rstrip("\n")) for command, _, output in parts]


def block(page: str, comment: str) -> str:
    """Return the block of a page behind the comment ``.. run: …`` of that text."""
    _, found, text = (ROOT / page).read_text(encoding="utf-8").partition(f".. run: {comment}\n\n::\n\n")
    assert found, f"{page} has no block for {comment}"
    lines = itertools.takewhile(lambda line: not line or line.startswith("    "), text.splitlines())
    return "\n".join(line[4:] for line in lines).rstrip("\n") + "\n"


def neutral(output: str) -> str:
    """Replace what is another each time: the host that Pacemaker chose, addresses, times, counts, sizes, and the configuration's number and lines."""
    output = re.sub(r"^(done' sh \d+) \d+$", r"\1 42", output, flags=re.MULTILINE)
    output = re.sub(r"^@@ .* @@$", "@@ @@", output, flags=re.MULTILINE)
    output = re.sub(r"\b\d{8}-\d{6}\b", "20260101-000000", re.sub(r"\bhv\d\b", "hvN", output))
    output = re.sub(r"\b10\.\d+\.\d+\.\d+\b", "10.0.0.101", output)
    output = re.sub(r" by \S+@\S+ since ", " by ann@desk since ", output)
    output = re.sub(r"-{3,}", "---", re.sub(r" {2,}\|", " |", output))  # columns as wide as what is in them
    output = re.sub(r"\b\d+ packages\b", "50 packages", output)
    output = re.sub(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?", r"2026-01-01\g<1>00:00:00", output)
    return re.sub(r"\d+(\.\d+)? ([KMG]iB)", "1 MiB", output).rstrip("\n")


@pytest.mark.parametrize("page", PAGES)
def test_sessions(site: LabSite, tmp_path: Path, page: str) -> None:
    """Each command is run in turn, in a folder that has the files named there; every section finds a running VM web."""
    shutil.copy(site.image("tiny"), tmp_path / "web.qcow2")
    for number, name in enumerate(("web", "web2")):
        (tmp_path / f"{name}.xml").write_text(site.lab("domain", name, str(120 + number)))
    found = list(sessions(page))
    assert found
    for section, commands in found:
        print(f"== {section}")
        if not commands[0][0].startswith("vm-mgr create -n web "):
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
    stops = words[0] in ("stop", "disable", "remove", "rollback") or "--force" in words
    if stops and "--dry-run" not in words and site.runs_on("web"):
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


def test_script_for_many(site: LabSite, tmp_path: Path) -> None:
    """The script of docs/howto-unattended.rst makes what is missing, leaves the rest, and goes on after one that cannot be made."""
    page = "docs/howto-unattended.rst"
    (tmp_path / "make-vms").write_text(block(page, "make-vms"))
    wanted = [
        f"{name} {site.image('tiny')} {site.domain(tmp_path, name, 130 + at)}\n" for at, name in enumerate(("one", "two"))
    ]
    wrong = f"absent /nonexistent.qcow2 {tmp_path / 'one.xml'}\n"
    path = f"{VM_MGR.parent}:{site.env()['PATH']}"
    for rows, code in (([wanted[0]], 0), ([wrong, *wanted], 1), (wanted, 0)):
        (tmp_path / "list").write_text("".join(rows))
        done = subprocess.run(
            ["sh", "make-vms", "list"], check=False, cwd=tmp_path, env=site.env({"PATH": path}), capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert ("/nonexistent.qcow2" in done.stderr) == (code == 1)
    assert [row["Name"] for row in site.done("list", "-f", "json").rows] == ["one", "two"]
    if shutil.which("jq"):
        all_started = ["sh", "-c", block(page, "all started, where the machine has jq")]
        until(lambda: subprocess.run(all_started, check=False, env=site.env({"PATH": path})).returncode == 0, 60, "all run")
    for place, names in (
        (("start", "-n"), ["one", "two"]),
        (("create", "--pinned-host"), site.hypervisors),
        (("check", "--host"), [*site.hypervisors, *site.observers]),
    ):
        assert site.done("completion", "bash", *place, "").out.split() == names
    for name in ("one", "two"):
        site.discard(name)


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

"""Folders of packages, really made on this machine by drivers whose package managers only pretend; and what is in the way."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.app import main
from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.operations.downloading import download
from vmmgr.operations.reporting import TerminalReporter

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = "pacemaker-remote-2.1.7-1.el9.x86_64.rpm libqb-2.0.8-1.el9.x86_64.rpm glibc-2.34-1.el9.x86_64.rpm"
DNF = f"""#!/bin/sh
case $* in
*--url*) echo file:///repo/glibc-2.34-1.el9.x86_64.rpm ;;
*) for word; do case $word in --destdir=*) cd "${{word#*=}}" || exit ;; esac; done; touch {FILES} ;;
esac
"""
APT = """#!/bin/sh
case $* in
*update*) ;;
*download*) for name; do case $name in *::*) ;; *=*) touch "${name%%=*}_${name#*=}_all.deb" ;; esac; done ;;
*essential*) echo "Inst libc6 (2.36 Debian:12/stable [amd64])" ;;
*) printf 'Inst %s (2.1.5-1 Debian:12/stable [amd64])\\nConf x (1)\\n' pacemaker-remote libqb100; echo "Inst libc6 (2.36 Debian:12/stable [amd64])" ;;
esac
"""
ZYPPER = """#!/bin/sh
for word; do case $word in --cache-dir=*) cache=${word#*=} ;; esac; done
row() { echo "<solvable type=\\"package\\" name=\\"$1\\" edition=\\"1-1\\" arch=\\"noarch\\" summary=\\"x\\">"; }
case $* in
*download*) mkdir -p "$cache/packages/site"; for name; do case $name in -*) ;; *=*) touch "$cache/packages/site/${name%%.*}-${name#*=}.rpm" ;; esac; done ;;
*systemd*) row glibc ;;
*) row pacemaker-remote; row glibc; row libqb ;;
esac
"""
RPM = "#!/bin/sh\ncase $* in *eval*) echo /var/lib/rpm ;; *) exit 1 ;; esac\n"
TOOLS = {"apt-get": APT, "dnf": DNF, "zypper": ZYPPER}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this machine the package managers that are named, with a script of theirs or another one; it has no others."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "sh",
        "cat",
        "comm",
        "cut",
        "find",
        "id",
        "mkdir",
        "mv",
        "rm",
        "sed",
        "sleep",
        "sort",
        "touch",
        "tr",
        "uname",
        "xargs",
    ):
        (tools / name).symlink_to(next(Path(folder, name) for folder in ("/usr/bin", "/bin") if Path(folder, name).exists()))
    monkeypatch.setenv("PATH", str(tools))

    def give(*names: str, script: str = "") -> None:
        for name in names:
            (tools / name).write_text(script or TOOLS[name])
            (tools / name).chmod(0o755)
        (tools / "rpm").write_text(RPM)
        (tools / "rpm").chmod(0o755)

    return give


def fill(folder: Path) -> str:
    """Download."""
    return download(folder, TerminalReporter())


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        ("apt-get", ["libqb100_2.1.5-1_all.deb", "pacemaker-remote_2.1.5-1_all.deb"]),
        ("dnf", ["libqb-2.0.8-1.el9.x86_64.rpm", "pacemaker-remote-2.1.7-1.el9.x86_64.rpm"]),
        ("zypper", ["libqb-1-1.rpm", "pacemaker-remote-1-1.rpm"]),
    ],
)
def test_a_folder_has_all_but_the_system(
    machine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], tool: str, files: list[str]
) -> None:
    """What every guest has is left out, nothing but packages is in the folder, and the sentence counts them; it may be there, empty."""
    machine(tool)
    folder = tmp_path / "two words"
    folder.mkdir()
    sentence = fill(folder)
    assert sorted(path.name for path in folder.iterdir()) == files
    assert sentence.startswith(f"{folder} has 2 packages, 0 MiB, for guests with ")
    assert sentence.endswith(f" on {platform.machine()}.")
    assert capsys.readouterr().err == f"Downloading with {tool} what a guest needs.\n"


def test_the_first_package_manager_is_taken(machine: Any, tmp_path: Path) -> None:
    """As in a guest, and a folder that is not there is made."""
    machine("dnf", "apt-get")
    fill(tmp_path / "new")
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".deb"}


def test_no_package_manager(machine: Any, tmp_path: Path) -> None:
    """The message names those that would do."""
    machine()
    with pytest.raises(RefusedError, match=r"no package manager that vm-mgr knows \(apt-get, dnf, zypper"):
        fill(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_folders_that_will_not_do(machine: Any, tmp_path: Path) -> None:
    """One that has something in it, a file, and one in a folder that is not there; each is left alone."""
    machine("dnf")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").touch()
    for name, reason in {
        "full": "is not empty; name one that is",
        "full/note": "cannot be written to: Not a directory",
        "none/new": "cannot be written to: No such file or directory",
    }.items():
        with pytest.raises(UsageError) as caught:
            fill(tmp_path / name)
        assert repr(str(tmp_path / name)) in str(caught.value)
        assert reason in str(caught.value)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["note"]


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_nothing(machine: Any, tmp_path: Path, there: bool) -> None:
    """The package manager's last words are told; a folder that was there is empty again, one that was not is gone."""
    machine(
        "apt-get",
        script="#!/bin/sh\ncase $* in *update*) ;; *) echo 'E: Unable to locate package pacemaker-remote' >&2; exit 100 ;; esac\n",
    )
    folder = tmp_path / "folder"
    if there:
        folder.mkdir()
    with pytest.raises(VmMgrError) as caught:
        fill(folder)
    assert str(caught.value) == (
        "The packages cannot be had from this machine's package sources: apt-get: E: Unable to locate package pacemaker-remote"
    )
    assert folder.exists() is there
    assert not there or list(folder.iterdir()) == []


def test_an_interruption_ends_all(machine: Any, tmp_path: Path) -> None:
    """The package manager is ended with what it runs, and the folder is gone."""
    machine("dnf", script=f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 60\n")
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "new")
    assert time.monotonic() - began < 30
    assert not (tmp_path / "new").exists()
    state = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not state.exists() or state.read_text().split()[2] in "ZX"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--download", "d", "-n", "web", "--check"],
            "--download only makes a folder on this machine; leave out --name, --check.",
        ),
        (["--download", "d", "--dry-run", "--port", "3122"], "leave out --dry-run, --port."),
        (["--download", ""], "the value is empty"),
        ([], "the following arguments are required: -n/--name"),
    ],
)
def test_senseless_command_lines(machine: Any, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    """Exit code 2 before anything is done."""
    machine("dnf", script="#!/bin/sh\nexit 9\n")
    try:
        code: Any = main(["deploy", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_the_verb_needs_no_site(
    machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing tells it of one, and none is asked for."""
    machine("zypper")
    monkeypatch.setenv("VMMGR_INVENTORY", "/nowhere")
    assert main(["deploy", "--download", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'new'} has 2 packages, ")

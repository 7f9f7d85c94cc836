"""What shells propose at a TAB: out of the parsers and of the names that were seen, light, silent, and harmless to a shell."""

from __future__ import annotations

import json
import logging
import os
import pty
import shutil
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmmgr import names
from vmmgr.app import COMMANDS, VmMgr, main
from vmmgr.completion import FILES, proposals
from vmmgr.disks import VmSnapshot
from vmmgr.model import Status, VmState
from vmmgr.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
HOSTILE = ["a b", "$(touch pwned)", "`touch pwned`", "a;reboot", "a\nb", "-rf", "*", "\x1b[2J", "a:b", "a@b", "~root", "ü"]


def words(*line: str) -> list[str]:
    """Return what the last word of a command line may become."""
    return [word for word, _ in proposals(VmMgr(), line)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Names:
    """A site of which some names were seen; nothing but the environment chooses it."""
    for name in ("VMMGR_SITE", "VMMGR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("VMMGR_INVENTORY", "site.yaml")
    found = Names(None, [], None, os.environ)
    found.keep("vms", ["web", "web-2", "db", *HOSTILE])
    found.keep("hypervisors", ["hv1", "hv2"])
    found.keep("machines", ["hv1", "hv2", "obs1"])
    found.keep("snapshots of web", ["before", "vm-mgr.1", *HOSTILE])
    return found


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("roll", ["rollback"]),
        ("nonsense ", []),
        ("-q roll", ["rollback"]),
        ("--site x roll", ["rollback"]),
        ("start -n ", ["web", "web-2", "db"]),
        ("start -n w", ["web", "web-2"]),
        ("start --name=w", ["--name=web", "--name=web-2"]),
        ("start --name = w", ["web", "web-2"]),
        ("start --name =", ["web", "web-2", "db"]),
        ("list -n d", ["db"]),
        ("add-colocation -n web d", ["db"]),
        ("rollback -n web --snap_name ", ["before", "vm-mgr.1"]),
        ("rollback --name=web --snap-name b", ["before"]),
        ("rollback -n db --snap_name ", []),
        ("rollback --snap_name ", []),
        ("create -n ", []),
        ("clone -n w", ["web", "web-2"]),
        ("clone -n web --dst_name ", []),
        ("create_snapshot -n web --snap_name ", []),
        ("create --pinned-host ", ["hv1", "hv2"]),
        ("check --host o", ["obs1"]),
        ("create --image ", [FILES]),
        ("deploy --packages ", [FILES]),
        ("-i ", [FILES]),
        ("list -f j", ["json"]),
        ("list -f json -n d", ["db"]),
        ("stop -n web -", ["--help", "--site", "--inventory", "--config", "--dry-run", "--name", "--force", "--no-wait", "--timeout"]),
        ("rollback --snap-", ["--snap-name"]),
        ("stop --fo", ["--force"]),
        ("create --metadata a=b --no", ["--nostart", "--no-wait"]),
        ("help exi", ["exit-codes"]),
        ("completion ", ["bash", "fish", "zsh"]),
        ("start --timeout ", []),
    ],
)  # fmt: skip
def test_proposals(line: str, expected: list[str]) -> None:
    """Each place of a command line has its words; what is to be new has none, and no hostile name is among them."""
    assert words(*line.split(" ")) == expected


def test_every_verb_is_proposed() -> None:
    """An empty line may become any verb."""
    assert words("") == list(COMMANDS)


def test_names_come_from_what_was_seen(seen: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another site are not proposed, nor those of more than an hour ago, nor what somebody else wrote into the file."""
    assert words("--site", "other", "start", "-n", "") == []
    assert words("start", "--inventory", "site.yaml", "-n", "") == []
    file = seen._file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr(names.time, "time", lambda: now + names.LIFE + 1)
        assert words("start", "-n", "") == []
    assert words("start", "-n", "") == ["web", "web-2", "db"]
    for spoilt in ("", "[]", "{", '{"vms": 1}', '{"vms": [1, 2]}', "[" * 100_000, '{"vms": ["x", []]}'):
        file.write_text(spoilt)
        assert seen.known("vms") == []
    file.write_text(json.dumps({"vms": [now, [*HOSTILE, "web"]]}))
    assert seen.known("vms") == ["web"]


def test_a_place_that_cannot_be_written_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are a comfort: nothing fails for want of them."""

    def no_home(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    for place in ("/dev/null", "", "relative"):
        found = Names(None, [], None, {"XDG_CACHE_HOME": place})
        found.keep("vms", ["web"])
        assert found.known("vms") == []


def test_sites_come_from_the_configuration(tmp_path: Path) -> None:
    """--site proposes the configured ones; a configuration that is wrong proposes none, without a word."""
    file = tmp_path / "config.yaml"
    file.write_text("sites: {plant: {pool: rbd}, lab: {pool: rbd}}")
    assert words("--config", str(file), "--site", "p") == ["plant"]
    assert words("list", "--config", str(file), "--site", "") == ["plant", "lab"]
    file.write_text("sites: 3")
    assert words("--config", str(file), "--site", "") == []


def test_no_error_at_a_tab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong, the line that is being typed is left alone."""
    monkeypatch.setattr("vmmgr.completion.proposals", lambda *_: 1 / 0)
    assert main(["completion", "bash", "list", ""]) == 0
    assert capsys.readouterr() == ("", "")


BASH = """PS1=rea""dy; bind 'set show-all-if-ambiguous on'; eval "$(vm-mgr completion bash)"\n"""
FISH = "vm-mgr completion fish | source; complete --do-complete 'vm-mgr {0}'"
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
say() {{ zpty -w shell "$1"; }}
say 'autoload -U compinit; compinit -u -d $TMPDIR/zcompdump; eval "$(vm-mgr completion zsh)"; unsetopt listambiguous; PS1=ready'
say 'echo be""gin'; zpty -r shell text '*begin*ready*'
zpty -w -n shell $'vm-mgr {0}\\t\\C-uecho fin""ished\\n'
zpty -r shell text '*finished*'; print -r -- "$text"
"""


def said_by(shell: str, line: str, environment: dict[str, str], folder: Path) -> str:
    """Return what a shell with our script shows at a TAB behind a command line."""
    if shell == "bash":
        return typed_in_bash(f"vm-mgr {line}\t\x15exit\n", environment, folder)
    script = {"fish": FISH, "zsh": ZSH}[shell].format(line)
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, env=environment, cwd=folder, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


def typed_in_bash(keys: str, environment: dict[str, str], folder: Path) -> str:
    """Return what a bash at a terminal shows when that is typed; only there it has readline."""
    terminal, its_end = pty.openpty()
    command = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        command, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True, env=environment, cwd=folder
    ) as shell:
        os.close(its_end)
        os.write(terminal, BASH.encode())
        said = ""
        while "\nready" not in said:
            said += os.read(terminal, 4096).decode()
        os.write(terminal, keys.encode())
        said = ""
        with suppress(OSError):  # Linux's way to say that nobody has the other end any more
            while shown := os.read(terminal, 4096):
                said += shown.decode()
        shell.wait(60)
    os.close(terminal)
    return said


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        ("rollback -n web --snap_name ", {"before", "vm-mgr.1"}, {"web-2"}),
        ("start -n we", {"web", "web-2"}, {"db"}),
        ("start --name=we", {"web-2"}, {"db"}),
        ("check --host ", {"hv1", "hv2", "obs1"}, {"web"}),
        ("list --sort-a", {"--sort-ascending"}, {"--sort-descending"}),
        ("create --image ima", {"image.qcow2"}, {"web"}),
    ],
)
@pytest.mark.usefixtures("seen")
def test_real_shells(shell: str, line: str, there: set[str], not_there: set[str], tmp_path: Path) -> None:
    """The shell itself, with our script, comes to the proposals, and runs nothing that is in a name."""
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} on this machine")
    (tmp_path / "image.qcow2").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    text = said_by(shell, line, os.environ | {"PATH": path, "TMPDIR": str(tmp_path), "TERM": "dumb"}, tmp_path)
    found = {word.removeprefix("--name=") for word in text.split()}
    assert there <= found, text
    assert not not_there & found, text
    assert not (tmp_path / "pwned").exists()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a function that runs a command line on a site that gives this answer to whatever is asked."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])

    def run(answer: object, *line: str) -> None:
        monkeypatch.setattr("vmmgr.session.run_on_site", lambda *_, **__: answer)
        assert main(line) == 0
        assert capsys.readouterr().err == ""

    return run


@pytest.mark.usefixtures("seen")
def test_names_are_kept_when_they_are_seen(answers: Callable[..., None]) -> None:
    """``list`` knows all names, or some more with a pattern; ``status`` one, unless there is no such VM; ``list_snapshots`` a VM's."""
    answers([VmState(name, Status.STARTED) for name in ("web", "new", "$(id)")], "list")
    assert words("start", "-n", "") == ["web", "new"]
    answers([VmState("db", Status.STOPPED)], "list", "-n", "d*")
    assert words("start", "-n", "") == ["db", "new", "web"]
    answers(VmState("gone", Status.UNDEFINED), "status", "-n", "gone")
    answers(VmState("there", Status.DISABLED), "status", "-n", "there")
    assert words("start", "-n", "") == ["db", "new", "there", "web"]
    taken = [VmSnapshot(name, grouped=False, images={}) for name in ("s1", "s 2")]
    answers([(snapshot, None) for snapshot in taken], "list_snapshots", "-n", "db")
    assert words("remove_snapshot", "-n", "db", "--snap_name", "") == ["s1"]
    answers([VmState("other", Status.STARTED)], "--site", "elsewhere", "list")
    assert words("start", "-n", "") == ["db", "new", "there", "web"]

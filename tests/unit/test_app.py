"""The program as a whole: what it loads, what it takes, where its words go, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr import app, errors, session
from vmmgr.app import COMMANDS, main
from vmmgr.topics import TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY = (
    "fabric",
    "paramiko",
    "invoke",
    "jinja2",
    "cmd2",
    "pytest",
    "testinfra",
    "yaml",
    "dissect",
    "rich",
    "pluggy",
    "asyncio",
)
VERBS = tuple(COMMANDS)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Give the root logger back as it was; the program sets it up for itself."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(autouse=True)
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose no site by the environment, and draw no colours."""
    for name in ("VMMGR_SITE", "VMMGR_INVENTORY", "VMMGR_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def run(*argv: str) -> int:
    """Run a command line in this process and return its exit code."""
    try:
        return main(argv)
    except SystemExit as end:
        return int(end.code or 0)


def program(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, warnings being errors."""
    command = [sys.executable, "-W", "error", "-m", "vmmgr", *argv]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False, timeout=60)


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every operation fail."""

    def run_on_site(operation: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(session, "run_on_site", run_on_site)


def test_without_a_command_all_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types the program's name alone sees what there is, and how to learn more."""
    assert run() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert set(VERBS) <= set(err.replace(",", " ").split())
    assert "`vm-mgr --help` explains" in err


PROBE = """
import contextlib, io, json, sys
from vmmgr.app import main
report = []
for argv in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as end:
            code = end.code or 0
    loaded = sorted(name for name in json.loads(sys.argv[2]) if name in sys.modules)
    report.append([argv, code, loaded])
print(json.dumps(report))
"""
LIGHT: dict[int, list[list[str]]] = {
    0: [["--version"], ["--help"], ["help"], ["help", "create"], ["--help", "create"], ["help", "site"], ["completion", "bash"],
        ["completion", "zsh", "list", "-n", ""], ["completion", "fish", "create", "--"], *([verb, "--help"] for verb in VERBS)],
    2: [
        [], ["crea"], ["lsit"], ["help", "crea"], ["list", "--forc"], ["--forc"], ["create"], ["stop"], ["list", "-f", "nope"],
        ["create", "-n"], ["-i"], ["start", "-n", "a", "--timeout", "x"], ["complete"], ["-v", "-q", "list"], ["status", "-n", "a", "extra"],
    ],
}  # fmt: skip


def test_help_and_mistakes_load_nothing_heavy() -> None:
    """Version, help of every verb and usage errors end with 0 and 2, and import none of what only an operation needs."""
    lines = [argv for lines in LIGHT.values() for argv in lines]
    command = [sys.executable, "-W", "error", "-c", PROBE, json.dumps(lines), json.dumps(HEAVY)]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert [(argv, code) for argv, code, _loaded in report] == [(argv, code) for code, lines in LIGHT.items() for argv in lines]
    assert [(argv, loaded) for argv, _code, loaded in report if loaded] == []


def test_the_program_itself_runs_without_warnings() -> None:
    """As a process of its own it prints its version, and help without a command on stderr, with exit codes 0 and 2."""
    version = program("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("vm-mgr ")
    nothing = program()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("usage: vm-mgr ")
    shown = program("--help").stdout
    assert all(f"\n  {verb} " in shown for verb in VERBS)


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb's help begins with its own usage and has its description; help VERB prints the same."""
    for verb in VERBS:
        assert run(verb, "--help") == 0
        shown = capsys.readouterr()
        assert shown.out.startswith(f"usage: vm-mgr {verb} ")
        assert "(vm-mgr)" not in shown.out
        assert shown.err == ""
        assert run("help", verb) == 0
        assert capsys.readouterr().out == shown.out


def test_topics(capsys: pytest.CaptureFixture[str]) -> None:
    """Each topic is printed by help TOPIC as it reads best on a terminal, and named by --help."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in TOPICS:
        assert name in shown
        assert run("help", name) == 0
        out, err = capsys.readouterr()
        assert (len(out) > 500, "``" in out, err) == (True, False, "")
        assert max(map(len, out.splitlines())) <= 130


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("crea", "There is no command 'crea'; `vm-mgr --help` shows those that there are. Did you mean create"),
        ("sta", "There is no command 'sta'"),
        ("lsit", "Did you mean list"),
        ("destroy-everything", "There is no command 'destroy-everything'"),
        ("", "There is no command ''"),
        ("--", "There is no command '--'"),
        ("CREATE", "There is no command 'CREATE'"),
        ("\x1b[2Jx", "There is no command '\\x1b[2Jx'"),
    ],
)
@pytest.mark.parametrize("way", [(), ("help",), ("--debug",)])
def test_only_whole_names_are_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...], word: str, said: str
) -> None:
    """A prefix or a typing error runs nothing: exit code 2, and what may have been meant on stderr."""
    fail_with(AssertionError("something ran"), monkeypatch)
    assert run(*way, word) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err or (way == ("help",) and word.startswith("--"))
    assert "Traceback" not in shown.err


def test_a_hyphen_is_as_good_as_an_underscore(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb of two words is taken in both spellings, vm_manager's and the usual one."""
    monkeypatch.setitem(app.COMMANDS, "list_all", COMMANDS["list"])
    for spelling in ("list_all", "list-all"):
        assert run(spelling, "--help") == 0
        assert capsys.readouterr().out.startswith("usage: vm-mgr list_all ")


@pytest.mark.parametrize(
    "argv",
    [
        ("stop", "-n", "a", "--forc"), ("stop", "--nam", "a"), ("start", "-n", "a", "--no-w"), ("create", "-n", "a", "--ima", "x"),
        ("list", "--inv", "x"), ("--inv", "x", "list"), ("--deb", "list"), ("list", "--form", "json"), ("status", "-n", "a", "--form", "json"),
        ("drivers", "--form", "json"), ("remove", "-n", "a", "--time", "3"),
    ],
)  # fmt: skip
def test_only_whole_names_are_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    """The beginning of an option's name is refused, before the command and after it."""
    fail_with(AssertionError("something ran"), monkeypatch)
    assert run(*argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: vm-mgr")


ERRORS = [
    (errors.VmMgrError("x failed"), 1), (errors.UsageError("x"), 2), (errors.ConfigurationError("x"), 2),
    (errors.RefusedError("first", "second"), 3), (errors.ConnectError("x"), 4), (errors.UnreachableError("x"), 4),
    (errors.HostKeyError("x"), 4), (errors.AuthenticationError("x"), 4), (errors.SudoError("x"), 4),
    (errors.OutcomeUnknownError("x"), 5), (errors.ConnectionLostError("x"), 5), (errors.PartlyDoneError("x"), 5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"), ERRORS, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else ""
)
def test_each_error_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """The text goes to stderr after the program's name, without a traceback; --debug adds one and keeps the exit code."""
    fail_with(error, monkeypatch)
    assert run("list") == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"vm-mgr: {error}\n")
    assert run("--debug", "list") == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" in shown.err
    assert shown.err.endswith(f"vm-mgr: {error}\n")


def test_what_nodes_say_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Escapes in an error are shown as such; its line breaks stay."""
    fail_with(errors.RefusedError("hv1 says: \x1b[2J\x07", "hv2 says: \u202eok\r"), monkeypatch)
    assert run("list") == 3
    assert capsys.readouterr().err == "vm-mgr: hv1 says: \\x1b[2J\\x07\nhv2 says: \\u202eok\\r\n"


def test_a_mistake_of_ours_is_told_as_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is one sentence and exit code 1; with --debug it is raised with its traceback."""
    fail_with(KeyError("x\x1b"), monkeypatch)
    assert run("list") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "vm-mgr: This should not have happened: KeyError: 'x\\x1b'. With --debug, vm-mgr shows where.\n"
    with pytest.raises(KeyError):
        run("--debug", "list")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_interruptions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """Ctrl-C and a reader that has gone end the program quietly, each with the usual exit code."""
    fail_with(error, monkeypatch)
    assert run("list") == code
    assert capsys.readouterr() == ("", "")


def test_a_real_mistake_in_the_site_ends_the_real_program() -> None:
    """Without a mock: an inventory that is not there is a usage error on stderr, and stdout stays free for data."""
    answer = program("-i", "/nonexistent/inventory.yaml", "list", "-f", "json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("vm-mgr: ")
    assert "/nonexistent/inventory.yaml" in answer.stderr
    assert "Traceback" not in answer.stderr

"""Wrong and repeated use of every verb, from its command line to its exit code; docs/verbs.rst has the table of it."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakesite import FakeSite
from workbench import DOMAIN, Bench, add_vm

from vmmgr import session
from vmmgr.app import COMMANDS, VmMgr, main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workbench import Clock

    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps

ROOT = Path(__file__).parents[3]
ON_A_VM = [verb for verb in COMMANDS if verb not in ("help", "drivers", "check", "completion")]
READING = ("list", "status", "show", "list_colocations", "list_metadata", "get_metadata", "list_snapshots", "list_services")
# These need a guest; tests/unit/operations/test_deploy.py repeats them.
IN_A_GUEST = ("deploy", "undeploy")
_ADD_NODE = ("add_pacemaker_remote", "-n", "web", "--remote_name", "node", "--remote_address", "192.0.2.7")
_ADD_SERVICE = ("add_service", "-n", "web", "beat", "--systemd", "beat")
# What has to be done to the VM ``web`` before a verb has something to do.
FIRST = {
    "create": [("remove", "-n", "web")],
    "enable": [("disable", "-n", "web")],
    "start": [("stop", "-n", "web")],
    "purge": [("create_snapshot", "-n", "web", "--snap_name", "old")],
    "remove_snapshot": [("create_snapshot", "-n", "web", "--snap_name", "old")],
    "rollback": [("create_snapshot", "-n", "web", "--snap_name", "old")],
    "remove_colocation": [("add_colocation", "-n", "web", "db")],
    "remove_pacemaker_remote": [_ADD_NODE],
    "add_service": [_ADD_NODE],
    "start_service": [_ADD_NODE, (*_ADD_SERVICE, "--nostart")],
    "stop_service": [_ADD_NODE, _ADD_SERVICE],
    "remove_service": [_ADD_NODE, _ADD_SERVICE],
}
# How options look whose meaning is cliff's.
SHAPES = {"--format", "--column", "--sort-column", "--quote", "--max-width", "--variable", "--prefix"}


@dataclass
class Desk:
    """A workstation where somebody types command lines; the site is a fake one, with the VMs ``web`` and ``db``."""

    bench: Bench
    capsys: pytest.CaptureFixture[str]

    def run_on_site(self, operation: Callable[[Context], Steps[Any]], **_options: object) -> Any:
        """Stand for vmmgr.session.run_on_site."""
        return self.bench.run(operation)

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        """Run a command line; return exit code, what is on stdout, and what is told besides."""
        self.bench.told.said.clear()
        try:
            code = main(argv)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capsys.readouterr()
        return code, out, "\n".join([*self.bench.told.said, err])


@pytest.fixture
def desk(clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """A desk; the program sets the root logger up for itself, so that is given back as it was."""
    site = FakeSite()
    for name in ("web", "db"):
        add_vm(site, name)
    desk = Desk(Bench(site, clock), capsys)
    monkeypatch.setattr(session, "run_on_site", desk.run_on_site)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield desk
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def needs(tmp_path: Path) -> dict[str, list[str]]:
    """What a verb needs besides the VM's name."""
    image, xml = tmp_path / "disk.raw", tmp_path / "web.xml"
    image.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    xml.write_text(DOMAIN)
    snapshot, key = ["--snap_name", "old"], ["--metadata_name", "note"]
    return {
        "create": ["--xml", str(xml), "-i", str(image)],
        "clone": ["--dst_name", "copy"],
        "add_colocation": ["db"],
        "remove_colocation": ["db"],
        "create_snapshot": snapshot,
        "remove_snapshot": snapshot,
        "rollback": snapshot,
        "get_metadata": key,
        "set_metadata": [*key, "--metadata_value", "x"],
        "add_pacemaker_remote": [*_ADD_NODE[3:]],
        "add_service": [*_ADD_SERVICE[3:]],
        **{f"{verb}_service": ["beat"] for verb in ("start", "stop", "remove")},
    }


@cache
def documented() -> dict[str, tuple[int, str]]:
    """Return exit code and words of every verb that is repeated, as docs/verbs.rst has them."""
    _, _, after = (ROOT / "docs/verbs.rst").read_text(encoding="utf-8").partition("\nThe same again\n")
    table, _, _ = after.partition("\n\nadd_colocation\n")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("   ``")]
    return {verb.strip(" `"): (int(code), words.partition(";")[0].partition(":")[0]) for verb, words, code, _ in rows}


@pytest.mark.parametrize("verb", [verb for verb in ON_A_VM if verb not in (*READING, *IN_A_GUEST)])
def test_the_same_again(desk: Desk, needs: dict[str, list[str]], verb: str) -> None:
    """A verb that has done its work says so when it is repeated, and changes nothing; only a rollback is done once more."""
    for first in FIRST.get(verb, ()):
        assert desk(*first)[0] == 0
    words = (verb, "-n", "web", *needs.get(verb, ()))
    code, _, told = desk(*words)
    assert code == 0, told
    done = desk.bench.site.state()
    desk.bench.site.seconds += 1  # a safety snapshot has the second in its name
    code, out, told = desk(*words)
    assert (code, documented()[verb][1] in out + told) == (documented()[verb][0], True), out + told
    assert verb == "rollback" or desk.bench.site.state() == done


def test_unset_again(desk: Desk) -> None:
    """A key that is gone can be unset once more."""
    code, out, _ = desk("set_metadata", "-n", "web", "--metadata_name", "note", "--unset")
    assert (code, "VM web has no metadata 'note' already" in out) == (0, True)


@pytest.mark.parametrize("verb", [verb for verb in ON_A_VM if verb != "create"])
def test_unknown_vm(desk: Desk, needs: dict[str, list[str]], verb: str) -> None:
    """It is refused, with the way to those that there are; only what asks for a status or for remains has an answer."""
    before = desk.bench.site.state()
    code, out, told = desk(verb, "-n", "nobody", *needs.get(verb, ()))
    answers = {"status": "Undefined", "list": "", "repair": "Nothing was left unfinished on VM nobody."}
    if verb in answers:
        assert (code, answers[verb] in out) == (0, True)
    else:
        assert (code, out, "There is no VM nobody; `vm-mgr list` shows" in told) == (3, "", True), told
    assert desk.bench.site.state() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create_snapshot", "--snap_name", "old"), "has a snapshot old already; choose another name, or remove it first"),
        (("remove_snapshot", "--snap_name", "none"), "has no snapshot 'none'; `vm-mgr list_snapshots -n web` shows"),
        (("rollback", "--snap_name", "none"), "has no snapshot 'none'; `vm-mgr list_snapshots -n web` shows"),
        (("get_metadata", "--metadata_name", "none"), "has no metadata 'none'; `vm-mgr list_metadata -n web` shows"),
        (("clone", "--dst_name", "db"), "VM db exists already (Started); choose another name"),
        (("add_colocation", "none"), "There is no resource none"),
        (("remove_colocation", "none"), "There is no resource none"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_unknown_and_taken_names(desk: Desk, words: tuple[str, ...], said: str) -> None:
    """What is not there, and what is there already, is refused before anything is touched."""
    desk.bench.site.take("system_web", "old")
    before = desk.bench.site.state()
    verb, *more = words
    code, out, told = desk(verb, "-n", "web", *more)
    assert (code, out, said in told) == (3, "", True), told
    assert desk.bench.site.state() == before


def test_clone_onto_itself(desk: Desk) -> None:
    """That is wrong usage, whatever is on the site."""
    code, out, told = desk("clone", "-n", "web", "--dst_name", "web")
    assert (code, out, "needs another name" in told) == (2, "", True)
    assert desk.bench.remote.connected == []


def valued(verb: str) -> Iterator[str]:
    """Yield the options of a verb that take a value, by their last spelling; nothing for arguments without an option."""
    app = VmMgr()
    app.options = argparse.Namespace(verbose_level=1)
    parser = app.command_manager.commands[verb].load()(app, app.options, cmd_name=verb).get_parser(verb)
    for action in parser._actions:
        if action.nargs != 0 and not SHAPES & set(action.option_strings):
            yield action.option_strings[-1] if action.option_strings else ""


@pytest.mark.parametrize(("verb", "option"), [(verb, option) for verb in ON_A_VM for option in valued(verb)])
def test_empty_values(desk: Desk, needs: dict[str, list[str]], verb: str, option: str) -> None:
    """What a script passes when its variable is empty is never taken for something: wrong usage, and nobody is contacted."""
    given = {"--from-file": ["-n", "web", "--metadata_name", "note"], "--id": []}.get(option)
    if given is None:
        more = needs.get(verb, [])
        # of a service, the empty word is its name
        given = ["-n", "web", *(more[1:] if verb.endswith("_service") and not option else more)]
    code, out, told = desk(verb, *given, *([option] if option else []), "")
    assert (code, out) == (2, ""), told
    assert "''" in told or "empty" in told, told
    assert desk.bench.remote.connected == []


@pytest.mark.parametrize("option", ["--site", "-i", "--inventory", "--config"])
def test_empty_values_before_the_verb(desk: Desk, option: str) -> None:
    """A site that is not named is not the default one."""
    code, out, told = desk(option, "", "remove", "-n", "web")
    assert (code, out, "empty" in told) == (2, "", True)
    assert desk.bench.remote.connected == []

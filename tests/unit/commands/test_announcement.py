"""What plugins are told of each verb's command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr import session
from vmmgr.app import COMMANDS, VmMgr, main
from vmmgr.commands.announcement import PARAMETERS, SECRET
from vmmgr.commands.base import SiteCommand
from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from pathlib import Path

XML = "<domain type='kvm'><name>x</name></domain>"
# Each verb that changes something, with the options that it cannot do without.
CHANGING = {
    "add_colocation": ("-n", "web", "db"),
    "add_pacemaker_remote": ("-n", "web", "--remote_name", "web-guest", "--remote_address", "192.0.2.1"),
    "add_service": ("-n", "web", "shop", "--systemd", "shop"),
    "clone": ("-n", "web", "--dst_name", "web2"),
    "create": ("-n", "web", "--xml", "{folder}/vm.xml", "--image", "{folder}/vm.raw", "--image-format", "raw"),
    "create_snapshot": ("-n", "web", "--snap_name", "s"),
    "deploy": ("-n", "web"),
    "disable": ("-n", "web"),
    "enable": ("-n", "web"),
    "purge": ("-n", "web"),
    "remove": ("-n", "web"),
    "remove_colocation": ("--id", "c"),
    "remove_pacemaker_remote": ("-n", "web"),
    "remove_service": ("-n", "web", "shop"),
    "remove_snapshot": ("-n", "web", "--snap_name", "s"),
    "repair": ("-n", "web"),
    "rollback": ("-n", "web", "--snap_name", "s"),
    "set_metadata": ("-n", "web", "--metadata_name", "k", "--metadata_value", "v"),
    "start": ("-n", "web"),
    "start_service": ("-n", "web", "shop"),
    "stop": ("-n", "web"),
    "stop_service": ("-n", "web", "shop"),
    "undeploy": ("-n", "web"),
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that runs a command line up to the operation and returns what would be announced."""
    (tmp_path / "vm.xml").write_text(XML)
    (tmp_path / "vm.raw").write_bytes(bytes(512))
    announced: list[Any] = []

    def run_on_site(operation: Any, *, announce: Any, **options: Any) -> Any:
        announced.append(announce)
        raise VmMgrError("Enough.")

    monkeypatch.setattr(session, "run_on_site", run_on_site)

    def run(*argv: str) -> Any:
        assert main([word.replace("{folder}", str(tmp_path)) for word in argv]) == 1
        return announced.pop()

    return run


def test_every_verb_that_changes_something_is_announced() -> None:
    """The verbs that can be run dry are those that are announced, and no other verb is."""
    commands = VmMgr().command_manager.commands
    assert {name for name in COMMANDS if issubclass(commands[name].load(), SiteCommand)} == set(CHANGING)


@pytest.mark.parametrize("verb", CHANGING)
def test_what_is_told_is_plain(told: Any, verb: str) -> None:
    """Verb, VM and options of each, as JSON has them."""
    operation = told(verb, *CHANGING[verb])
    assert (operation.verb, operation.vm) == (verb, "" if verb == "remove_colocation" else "web")
    assert not operation.dry_run
    assert json.loads(json.dumps(asdict(operation))) == asdict(operation)
    assert not {"name", "help", "dry_run", "site", "inventory", "config"} & set(operation.options)
    assert told(verb, *CHANGING[verb], "--dry-run", "--site", "x").dry_run


def test_options_have_their_names_on_the_command_line(told: Any) -> None:
    """The first of two spellings; what stands for itself is true when it was given, whatever it means; all others are there too."""
    options = told("clone", *CHANGING["clone"], "--nostart", "--clear-pacemaker-meta", "--no-live-migration", "--stop-timeout", "5").options  # fmt: skip
    assert (options["dst_name"], options["stop_timeout"], options["priority"]) == ("web2", 5, None)
    given = {name for name, value in options.items() if value is True}
    assert given == {"nostart", "clear_pacemaker_meta", "no_live_migration"}
    assert told("create", *CHANGING["create"]).options["xml"].endswith("/vm.xml")
    assert told("add_colocation", "-n", "web", "db", "log").options["resources"] == ["db", "log"]
    assert told("purge", "-n", "web", "--date", "2026-02-01T00:00:00").options["date"].startswith("2026-02-01")


def test_nothing_that_may_be_secret_is_told(told: Any) -> None:
    """The values of metadata and the lines for the cluster's tool are not told; that they are there, and the keys, are."""
    words = ["--metadata", "user=s3cret", "pin=s3cret", "--pacemaker-meta", "a=b", "--add-cluster-cmd", "x password=s3cret"]
    options = told("create", *CHANGING["create"], *words, "--add-crm-config-cmd", "s3cret").options
    assert "s3cret" not in json.dumps(options)
    assert options["metadata"] == [["user", "***"], ["pin", "***"]]
    assert options["pacemaker_meta"] == [["a", "b"]]
    assert options["add_cluster_cmd"] == options["add_crm_config_cmd"] == ["***"]
    for option in ("--ocf", "--container"):
        options = told("add_service", "-n", "web", "db", option, "pgsql", "password=s3cret=", "user=a").options
        assert options[option[2:]] == ["pgsql", "password=***", "user=***"]
    options = told("set_metadata", "-n", "web", "--metadata_name", "k", "--metadata_value", "s3cret").options
    assert options == {"metadata_name": "k", "metadata_value": "***", "from_file": None, "unset": False}


def test_what_is_secret_is_there() -> None:
    """Each of the secret options is one of some verb, so that none is forgotten when it gets another name."""
    app = VmMgr()
    names = set()
    for verb in CHANGING:
        command = app.command_manager.commands[verb].load()(app, None, cmd_name=verb)
        for action in command.get_parser(verb)._actions:
            names |= {text.lstrip("-").replace("-", "_") for text in action.option_strings}
    assert {*SECRET, *PARAMETERS} <= names

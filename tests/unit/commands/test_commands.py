"""The commands: options in, one operation, rows or a sentence out."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from vmmgr import session
from vmmgr.app import main
from vmmgr.commands.snapshots import Size
from vmmgr.disks import Consistency, ImageSnapshot, VmSnapshot
from vmmgr.drivers.pacemaker.colocation import Colocation
from vmmgr.model import Status, VmState
from vmmgr.operations.colocation import Known
from vmmgr.operations.records import Record
from vmmgr.operations.retention import Retention
from vmmgr.operations.snapshots import SnapshotRequest

STATES = [
    VmState("vm1", Status.STARTED, "hv1"),
    VmState("vm2", Status.FAILED, None, ("start failed on hv2: no space", "unfinished: create")),
    VmState("vm3", Status.STOPPED, None),
]
HOSTILE = VmState("vm\x1b[2J", Status.STARTED, "hv\u202e1\n| vm9 | Started", ("a\nb\x07", "c"))


class Site:
    """Stands for the site: it notes the options and what each operation was called with, and answers."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.answer: Any = STATES[0]
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def run_on_site(self, operation: Any, **options: Any) -> Any:
        """Stand for vmmgr.session.run_on_site."""
        self.options = options
        operation("context")
        return self.answer


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose operations are stubbed where the commands find them."""
    from vmmgr.operations import (
        colocation,
        create,
        deploy,
        listing,
        membership,
        metadata,
        purging,
        removal,
        rollback,
        running,
        snapshots,
        undeploy,
    )

    stub = Site()
    monkeypatch.setattr(session, "run_on_site", stub.run_on_site)
    for module, names in (
        (rollback, ["rollback"]), (deploy, ["deploy"]), (undeploy, ["undeploy"]),
        (metadata, ["vm_metadata", "metadata_value", "set_metadata", "unset_metadata"]), (removal, ["remove", "repair"]),
        (colocation, ["add_colocation", "list_colocations", "remove_colocation"]), (create, ["create"]), (listing, ["list_vms", "vm_status"]), (membership, ["enable", "disable"]),
        (running, ["start", "stop"]), (snapshots, ["create_snapshot", "list_snapshots"]), (purging, ["remove_snapshot", "purge"]),
    ):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, lambda *args, name=name, **kwargs: stub.calls.append((name, args, kwargs)))
    return stub


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command line, which must succeed, and returns what is on stdout."""

    def run(*argv: str) -> str:
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return str(out)

    return run


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command line that must be a usage error, and return what is on stderr."""
    try:
        code = main(argv)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    return err


def test_list_as_json(site: Site, shown: Any) -> None:
    """The column names and values are the interface: null where there is no node, all details in one text."""
    site.answer = STATES
    assert json.loads(shown("list", "-f", "json")) == [
        {"Name": "vm1", "Status": "Started", "Node": "hv1", "Details": ""},
        {"Name": "vm2", "Status": "Failed", "Node": None, "Details": "start failed on hv2: no space; unfinished: create"},
        {"Name": "vm3", "Status": "Stopped", "Node": None, "Details": ""},
    ]


def test_a13_27_list_in_every_format_says_the_same(site: Site, shown: Any) -> None:
    """YAML and CSV hold what JSON holds; the value format has one line per VM, the table one row."""
    site.answer = STATES
    rows = json.loads(shown("list", "-f", "json"))
    assert yaml.safe_load(shown("list", "-f", "yaml")) == rows
    table = list(csv.DictReader(io.StringIO(shown("list", "-f", "csv"))))
    assert [{key: value or None for key, value in row.items()} for row in table] == [
        {key: value or None for key, value in row.items()} for row in rows
    ]
    assert [line.split(" ")[:2] for line in shown("list", "-f", "value").splitlines()] == [
        ["vm1", "Started"], ["vm2", "Failed"], ["vm3", "Stopped"],
    ]  # fmt: skip
    lines = shown("list").splitlines()
    assert [word.strip() for word in lines[1].strip("|").split("|")] == ["Name", "Status", "Node", "Details"]
    assert len(lines) == 4 + len(STATES)


def test_a_site_without_vms(site: Site, shown: Any) -> None:
    """Nothing is an empty list for programs."""
    site.answer = []
    assert json.loads(shown("list", "-f", "json")) == []
    assert shown("list", "-f", "value").strip() == ""


@pytest.mark.parametrize("columns", [("-c", "Name"), ("-c", "name"), ("--column", "NAME")])
def test_columns_are_chosen_by_name(site: Site, shown: Any, columns: tuple[str, str]) -> None:
    """One column is one word per line, whatever its case on the command line."""
    site.answer = STATES
    assert shown("list", "-f", "value", *columns) == "vm1\nvm2\nvm3\n"


def test_columns_that_there_are_not(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown column is refused with those that there are, also beside one that is known."""
    site.answer = STATES
    for argv in (("list", "-c", "Nope"), ("list", "-c", "Name", "-c", "Nope"), ("drivers", "-c", "Nope")):
        assert "vm-mgr: There is no column 'Nope'; there are " in refused(capsys, *argv)


def test_list_takes_a_pattern(site: Site, shown: Any) -> None:
    """The pattern reaches the operation as it is, and none where none was given."""
    site.answer = []
    shown("list", "-n", "vm*")
    shown("list")
    assert [args for _name, args, _kwargs in site.calls] == [("context", "vm*"), ("context", None)]


def test_list_of_nothing(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal it is said that there is nothing; a program gets no rows, and no word."""
    site.answer = []
    assert main(["list", "-f", "json"]) == 0
    assert capsys.readouterr() == ("[]\n", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for words, said in (
        (["list"], "There are no VMs.\n"),
        (["list", "-n", "x*"], "There is no such VM.\n"),
        (["-q", "list"], ""),
    ):
        assert main([*words, "-f", "json"]) == 0
        out, err = capsys.readouterr()
        assert (json.loads(out), err) == ([], said)


def test_tables_are_sorted_and_shaped_as_asked(site: Site, shown: Any) -> None:
    """The options that cliff gives to every table do here what they say."""
    site.answer = STATES
    names = ["list", "-f", "value", "-c", "Name", "-c", "Status"]
    assert shown(*names, "--sort-column", "Status").split() == ["vm2", "Failed", "vm1", "Started", "vm3", "Stopped"]
    assert shown(*names, "--sort-column", "Name", "--sort-descending").split()[::2] == ["vm3", "vm2", "vm1"]
    assert shown(*names, "--sort-column", "Name", "--sort-ascending").split()[::2] == ["vm1", "vm2", "vm3"]
    assert shown("list", "-f", "csv", "-c", "Name", "--quote", "none").split() == ["Name", "vm1", "vm2", "vm3"]
    assert shown("list", "-f", "csv", "-c", "Name", "--quote", "all").split() == ['"Name"', '"vm1"', '"vm2"', '"vm3"']
    assert shown("list", "-f", "json", "--noindent").count("\n") == 1
    wide = max(len(line) for line in shown("list").splitlines())
    assert max(len(line) for line in shown("list", "--max-width", "40").splitlines()) <= 40 < wide
    assert max(len(line) for line in shown("list", "--fit-width").splitlines()) <= wide
    site.answer = []
    assert "Name" not in shown("list")
    assert "Name" in shown("list", "--print-empty")


def test_shell_variables_of_one_thing(site: Site, shown: Any) -> None:
    """A shell can evaluate what the format shell prints, under names of its own choice; --variable chooses among them."""
    site.answer = STATES[0]
    assert shown("status", "-n", "vm1", "-f", "shell", "-c", "Node") == 'node="hv1"\n'
    assert shown("status", "-n", "vm1", "-f", "shell", "--prefix", "vm_", "--variable", "status") == 'vm_status="Started"\n'


def test_log_file_has_what_verbose_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A log file holds what -v would tell, and the terminal stays as it is."""

    def run_on_site(operation: Any, **options: Any) -> list[VmState]:
        logging.getLogger("vmmgr.remote").info("asked hv1")
        return []

    monkeypatch.setattr(session, "run_on_site", run_on_site)
    file = tmp_path / "log"
    assert main(("--log-file", str(file), "list")) == 0
    assert "asked hv1" in file.read_text()


def test_status_of_one(site: Site, shown: Any) -> None:
    """The status of one VM has the same fields; -c and -f value give a script the bare word."""
    site.answer = STATES[1]
    assert json.loads(shown("status", "-n", "vm2", "-f", "json"))["Status"] == "Failed"
    assert shown("status", "-n", "vm2", "-f", "value", "-c", "Status") == "Failed\n"
    assert site.calls[0] == ("vm_status", ("context", "vm2"), {})


def test_cells_cannot_steer_the_terminal_nor_make_rows(site: Site, shown: Any) -> None:
    """What nodes say is shown in its own cell, in every format."""
    site.answer = [HOSTILE]
    assert len(shown("list").splitlines()) == 5
    for output in ("table", "value", "csv", "json", "yaml"):
        text = shown("list", "-f", output)
        assert not {"\x1b", "\u202e", "\x07"} & set(text)
    assert json.loads(shown("list", "-f", "json"))[0]["Details"] == "a\\nb\\x07; c"


@pytest.mark.parametrize(
    ("argv", "call", "said"),
    [
        (("start", "-n", "a"), ("start", ("context", "a"), {"wait": True, "timeout": None}), "VM vm1 is Started on hv1.\n"),
        (
            ("start", "-n", "a", "--no-wait"),
            ("start", ("context", "a"), {"wait": False, "timeout": None}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("stop", "--name", "a", "-f", "--timeout", "1.5"),
            ("stop", ("context", "a"), {"force": True, "wait": True, "timeout": 1.5}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("enable", "-n", "a", "--nostart"),
            ("enable", ("context", "a"), {"start": False, "wait": True, "timeout": None}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("enable", "-n", "a", "--no-wait", "--timeout", "7"),
            ("enable", ("context", "a"), {"start": True, "wait": False, "timeout": 7}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("start", "-n", "a", "--timeout", "7"),
            ("start", ("context", "a"), {"wait": True, "timeout": 7}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("stop", "-n", "a", "--force", "--no-wait"),
            ("stop", ("context", "a"), {"force": True, "wait": False, "timeout": None}),
            "VM vm1 is Started on hv1.\n",
        ),
        (
            ("disable", "-n", "a", "--timeout", "7"),
            ("disable", ("context", "a"), {"timeout": 7}),
            "VM vm1 is Started on hv1.\n",
        ),
        (("disable", "-n", "a"), ("disable", ("context", "a"), {"timeout": None}), "VM vm1 is Started on hv1.\n"),
        (("remove", "-n", "a"), ("remove", ("context", "a"), {"timeout": None}), "VM a is removed.\n"),
        (
            ("rollback", "-n", "a", "--snap-name", "s", "--no-safety", "--timeout", "7"),
            ("rollback", ("context", "a", "s"), {"safety": False, "timeout": 7}),
            "VM a is rolled back to s.\nVM vm1 is Started on hv1.\n",
        ),
        (("remove", "-n", "a", "--timeout", "7"), ("remove", ("context", "a"), {"timeout": 7}), "VM a is removed.\n"),
    ],
)
def test_verbs_call_their_operation(
    site: Site, shown: Any, argv: tuple[str, ...], call: tuple[str, tuple[Any, ...], dict[str, Any]], said: str
) -> None:
    """Each verb calls its own operation with its options and says one sentence; -q says nothing and asks for no messages."""
    assert shown(*argv) == said
    assert site.calls == [call]
    assert not site.options["quiet"]
    assert shown("-q", *argv) == ""
    assert site.options["quiet"]


def test_repair_says_what_was_done(site: Site, shown: Any) -> None:
    """What the operation did is printed, made printable."""
    site.answer = "VM a was cleaned.\x1b[2J"
    assert shown("repair", "-n", "a", "--force") == "VM a was cleaned.\\x1b[2J\n"
    assert site.calls == [("repair", ("context", "a"), {"force": True})]


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (
            ("add_colocation", "-n", "a", "b", "c"),
            ("add_colocation", ("context", "a", ["b", "c"]), {"strong": False, "apart": False, "yes": False}),
        ),
        (
            ("add-colocation", "b", "--name", "a", "--strong", "--apart", "--yes"),
            ("add_colocation", ("context", "a", ["b"]), {"strong": True, "apart": True, "yes": True}),
        ),
        (("remove_colocation", "-n", "a", "b"), ("remove_colocation", ("context", "a", ["b"], None), {"yes": False})),
        (("remove_colocation", "--id", "x", "-y"), ("remove_colocation", ("context", None, [], "x"), {"yes": True})),
    ],
)
def test_colocations_call_their_operation(
    site: Site, shown: Any, argv: tuple[str, ...], call: tuple[str, tuple[Any, ...], dict[str, Any]]
) -> None:
    """The resources and options go to the operation, and its sentence is printed."""
    site.answer = "VM a runs with b."
    assert shown(*argv) == "VM a runs with b.\n"
    assert site.calls == [call]


def test_colocations_are_listed(site: Site, shown: Any) -> None:
    """The columns are the interface; whom a colocation waits for is a detail."""
    site.answer = [
        Known(Colocation.wanted("a", ("b", "c"), strong=True, apart=False), ()),
        Known(Colocation("by\x1bhand", "", ("x", "y"), -5), ("x", "y")),
    ]
    assert json.loads(shown("list_colocations", "-n", "a", "-f", "json")) == [
        {
            "Id": "colocation-strong-a-withb-c", "Resources": "a, b, c", "Kind": "together", "Strength": "strong",
            "Score": "INFINITY", "Details": "",
        },
        {
            "Id": "by\\x1bhand", "Resources": "x, y", "Kind": "apart", "Strength": "weak", "Score": "-5",
            "Details": "kept for the disabled x, y",
        },
    ]  # fmt: skip
    assert site.calls == [("list_colocations", ("context", "a"), {})]


def test_a_state_without_a_node(site: Site, shown: Any) -> None:
    """A VM that is nowhere is said to be on no node."""
    site.answer = STATES[2]
    assert shown("stop", "-n", "vm3") == "VM vm3 is Stopped.\n"


@pytest.mark.parametrize(
    ("argv", "chosen"),
    [
        (("list",), (None, [], None)),
        (("-i", "a", "list"), (None, ["a"], None)),
        (("-i", "a", "--inventory", "b", "list"), (None, ["a", "b"], None)),
        (("list", "--inventory", "a", "--inventory", "b"), (None, ["a", "b"], None)),
        (("-i", "a", "list", "--inventory", "b"), (None, ["b"], None)),
        (("--site", "x", "--config", "c", "list"), ("x", [], "c")),
        (("--site", "x", "list", "--site", "y", "--config", "d"), ("y", [], "d")),
    ],
)
def test_the_site_is_chosen_before_or_after_the_command(
    site: Site, shown: Any, argv: tuple[str, ...], chosen: tuple[str | None, list[str], str | None]
) -> None:
    """The same options stand in both places, and what stands after the command counts more."""
    site.answer = []
    shown(*argv, "-f", "json")
    site_name, inventories, config = chosen
    assert site.options == {
        "site": site_name, "inventories": [Path(name) for name in inventories], "config": Path(config) if config else None, "quiet": False,
        "preview": None, "announce": None,
    }  # fmt: skip


@pytest.mark.parametrize("verb", ["start", "stop", "enable", "disable", "remove", "repair"])
def test_dry_run_prints_what_would_be(site: Site, shown: Any, verb: str) -> None:
    """With --dry-run the text of the rehearsal is the output, fit for a terminal, and the last sentence is no promise kept."""
    site.answer = "Nothing was left." if verb == "repair" else VmState("vm1", Status.STOPPED)
    text = shown(verb, "-n", "vm1", "--dry-run")
    preview = site.options["preview"]
    assert text.startswith("\nIt would end with: ")
    preview("rm -f -- /etc/x\x1b")
    assert shown("-q", verb, "-n", "vm1", "--dry-run") == "rm -f -- /etc/x\\x1b\n"
    shown(verb, "-n", "vm1")
    assert site.options["preview"] is None


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A domain XML and a raw image."""
    xml, image = tmp_path / "vm.xml", tmp_path / "disk.raw"
    xml.write_text("<domain type='kvm'><name>vm1</name></domain>")
    image.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"\0" * 1024)
    return str(xml), str(image)


def test_create_takes_vm_managers_options(site: Site, shown: Any, files: tuple[str, str]) -> None:
    """-i is the inventory before the command and the image after it, and every option reaches the request."""
    xml, image = files
    said = shown(
        "-i", "inventory", "create", "-n", "vm1", "--xml", xml, "-i", image, "--image-format", "raw", "--additional-disk", image,
        "--metadata", "a=b=c", "d=-rf", "--metadata", "e=f", "--disable", "--nostart", "--no-wait", "--timeout", "90", "-p",
        "--pinned-host", "hv1", "--enable-live-migration", "--stop-timeout", "40", "--priority", "-5",
        "--pacemaker-meta", "x=", "--pacemaker-params", "y=1", "z=2", "--pacemaker-utilization", "cpu=1",
        "--disk-bus", "scsi", "--compress", "--migration-user", "mover", "--migrate-to-timeout", "60", "--migration-downtime", "300",
        "--add-crm-config-cmd", "property a=b", "--add-crm-config-cmd", "property c=d", "--add-cluster-cmd", "order o x y",
    )  # fmt: skip
    assert said == "VM vm1 is Started on hv1.\n"
    assert site.options["inventories"] == [Path("inventory")]
    ((name, (context, request), _kwargs),) = site.calls
    assert (name, context, request.name) == ("create", "context", "vm1")
    assert len(request.disks) == 2
    assert request.metadata == {"a": "b=c", "d": "-rf", "e": "f"}
    assert (request.enable, request.start, request.wait, request.timeout) == (False, False, False, 90)
    settings = request.settings
    assert (settings.pinned_host, settings.live_migration, settings.stop_timeout, settings.priority) == ("hv1", True, 40, -5)
    assert (settings.pacemaker_meta, settings.pacemaker_params) == ({"x": ""}, {"y": "1", "z": "2"})
    assert settings.pacemaker_utilization == {"cpu": "1"}
    assert (request.disk_bus, request.compress) == ("scsi", True)
    assert (settings.migration_user, settings.migrate_to_timeout, settings.migration_downtime) == ("mover", 60, 300)
    assert settings.commands == {"crmsh": ("property a=b", "property c=d"), "": ("order o x y",)}


def test_force_waits(site: Site, shown: Any, files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """--force reaches the request; it cannot do without waiting, for the old VM goes only when the new one runs."""
    xml, image = files
    shown("create", "-n", "vm1", "--xml", xml, "-i", image, "--image-format", "raw", "--force")
    ((_name, (_context, request), _kwargs),) = site.calls
    assert request.force
    assert main(["create", "-n", "vm1", "--xml", xml, "-i", image, "--force", "--no-wait"]) == 2
    assert "leave out --no-wait" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--metadata", "novalue"), "'novalue' is not of the form KEY=VALUE"),
        (("--metadata", "=v"), "'=v' is not of the form KEY=VALUE"),
        (("--metadata", "k="), "'k=' has no value, and Ceph keeps no empty ones"),
        (("--stop-timeout", "-1"), "'-1' is not a whole number from 0 to 1000000"),
        (("--stop-timeout", "1.5"), "'1.5' is not a whole number"),
        (("--stop-timeout", "\u0661"), "is not a whole number"),
        (("--stop-timeout", "9" * 30), "is not a whole number"),
        (("--timeout", "0"), "'0' is not a number of seconds above 0"),
        (("--timeout", "nan"), "'nan' is not a number of seconds"),
        (("--timeout", "inf"), "'inf' is not a number of seconds"),
        (("--timeout", "soon"), "'soon' is not a number of seconds"),
        (("--priority", "high"), "invalid int value: 'high'"),
        (("-n", "a b"), "'a b' cannot be the name of a VM"),
    ],
)
def test_create_refuses_bad_values(
    site: Site, capsys: pytest.CaptureFixture[str], files: tuple[str, str], argv: tuple[str, ...], said: str
) -> None:
    """A bad value is named with its rule, before anything is opened or contacted."""
    xml, image = files
    assert said in refused(capsys, "create", "-n", "vm1", "--xml", xml, "-i", image, "--image-format", "raw", *argv)
    assert site.calls == []


METADATA = {"b": 'of\n"lines"\x1b', "vm_name": "vm1", "z": "no \udcff text"}


def test_metadata_are_listed(site: Site, shown: Any) -> None:
    """Keys, and with --long values: exact where the format allows it, in their own cell where it does not."""
    site.answer = METADATA
    assert shown("list-metadata", "-n", "a", "-f", "value") == "b\nvm_name\nz\n"
    assert site.calls == [("vm_metadata", ("context", "a"), {})]
    rows = [
        {"Key": "b", "Value": 'of\n"lines"\x1b'},
        {"Key": "vm_name", "Value": "vm1"},
        {"Key": "z", "Value": "no \\xff text"},
    ]
    assert json.loads(shown("list_metadata", "-n", "a", "--long", "-f", "json")) == rows
    assert yaml.safe_load(shown("list_metadata", "-n", "a", "--long", "-f", "yaml")) == rows
    assert (
        list(csv.DictReader(io.StringIO(shown("list_metadata", "-n", "a", "--long", "-f", "csv"), newline=""), escapechar="\\"))
        == rows
    )
    assert len(shown("list_metadata", "-n", "a", "--long").splitlines()) == 7
    for output in ("table", "value"):
        assert "\x1b" not in shown("list_metadata", "-n", "a", "--long", "-f", output)


def test_a_value_is_printed_as_it_is(site: Site, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The bytes of the value and nothing else, whatever they are."""
    site.answer = 'two\nlines \x1b "ü" \udcff\n'
    assert main(["get_metadata", "-n", "a", "--metadata_name", "k"]) == 0
    assert capsysbinary.readouterr() == ('two\nlines \x1b "ü" '.encode() + b"\xff\n", b"")
    assert site.calls == [("metadata_value", ("context", "a", "k"), {})]


def test_a_value_cannot_steer_the_terminal(site: Site, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is made printable, and its line is ended."""
    site.answer = "red \x1b[31m"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert shown("get-metadata", "-n", "a", "--metadata-name", "k") == "red \\x1b[31m\n"


@pytest.mark.parametrize(
    "case",
    [
        (("--metadata_value", "-"), ("set_metadata", ("context", "a", "k", "-"), {})),
        (("--metadata-value=-rf",), ("set_metadata", ("context", "a", "k", "-rf"), {})),
        (("--metadata_value", ""), ("set_metadata", ("context", "a", "k", ""), {})),
        (("--unset",), ("unset_metadata", ("context", "a", "k"), {})),
        (("--from-file", "value"), ("set_metadata", ("context", "a", "k", "-a\n\udcff"), {})),
        (("--from-file", "-"), ("set_metadata", ("context", "a", "k", "in\n"), {})),
        (("--from-file", "long"), ("set_metadata", ("context", "a", "k", "x" * 131072), {})),
    ],
    ids=lambda case: " ".join(case[0]),
)
def test_a_value_is_set_from_anywhere(
    site: Site, shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Any
) -> None:
    """From the command line, a file or standard input; never more of it than is needed to see that it is too long."""
    words, call = case
    (tmp_path / "value").write_bytes(b"-a\n\xff")
    (tmp_path / "long").write_bytes(b"x" * 200_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in\n")))
    site.answer = "The metadata 'k' of VM a is set."
    assert shown("set_metadata", "-n", "a", "--metadata_name", "k", *words) == "The metadata 'k' of VM a is set.\n"
    assert site.calls == [call]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one of the arguments --metadata_value/--metadata-value --from-file --unset is required"),
        (("--metadata_value", "x", "--unset"), "not allowed with argument"),
        (("--from-file", "x", "--unset"), "not allowed with argument"),
        (("--from-file", "/nonexistent"), "The value cannot be read from '/nonexistent': No such file or directory."),
        (("--from-file", "/"), "The value cannot be read from '/': Is a directory."),
    ],
)
def test_there_is_one_value(site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    """None, two, and a file that cannot be read are told before anybody is contacted."""
    assert said in refused(capsys, "set_metadata", "-n", "a", "--metadata_name", "k", *words)
    assert site.calls == []


def test_a_reserved_key_is_told_before_its_value_is_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody types a value into standard input in vain."""
    assert "'_priority' is a setting of the VM" in refused(
        capsys, "set_metadata", "-n", "a", "--metadata_name", "_priority", "--from-file", "-"
    )


@pytest.mark.parametrize(
    "verb",
    ["create", "start", "stop", "enable", "disable", "remove", "repair", "status", "list_metadata", "create_snapshot", "list_snapshots",
     "remove_snapshot", "purge", "deploy", "undeploy"],
)  # fmt: skip
def test_a_vm_must_be_named(site: Site, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """No verb that acts on one VM runs without its name."""
    assert "-n/--name" in refused(capsys, verb)
    assert site.calls == []


def test_drivers_need_no_site(shown: Any) -> None:
    """The built-in drivers are listed, all of them usable, without a site."""
    rows = json.loads(shown("drivers", "-f", "json"))
    assert [(row["Kind"], row["Name"], row["State"], row["Problem"]) for row in rows] == [
        ("cluster", "crmsh", "usable", ""), ("cluster", "pcs", "usable", ""), ("storage", "rbd", "usable", ""),
        ("hypervisor", "libvirt", "usable", ""),
        ("guest", "apt", "usable", ""), ("guest", "dnf", "usable", ""), ("guest", "zypper", "usable", ""),
    ]  # fmt: skip


def test_messages_while_working_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What an operation says on its way is made printable and kept away from the data; quiet leaves the warnings."""
    from vmmgr.operations.reporting import TerminalReporter

    for quiet in (False, True):
        reporter = TerminalReporter(quiet=quiet)
        reporter.say("Imported a\x1b[2J.")
        reporter.say("hv2 is off\x07.", warning=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Imported a\\x1b[2J.\n" + "Warning: hv2 is off\\x07.\n" * 2


@pytest.mark.parametrize("option", ["--snap_name", "--snap-name"])
@pytest.mark.parametrize("verb", ["create_snapshot", "create-snapshot"])
def test_create_snapshot(site: Site, shown: Any, verb: str, option: str) -> None:
    """Either spelling of verb and option; what was reached is said."""
    site.answer = Consistency.CRASH
    said = shown(verb, "-n", "a", option, "b", "--compatible", "--no-freeze")
    assert said == "Snapshot b of VM a is taken, consistency: crash.\n"
    assert site.calls == [("create_snapshot", ("context", SnapshotRequest("a", "b", compatible=True, freeze=False)), {})]
    shown(verb, "-n", "a", option, "b")
    assert site.calls[-1][1][1] == SnapshotRequest("a", "b")


@pytest.mark.parametrize("option", ["--snap_name", "--snap-name"])
def test_remove_snapshot(site: Site, shown: Any, option: str) -> None:
    """A name that begins with a dash is a value all the same."""
    assert shown("remove_snapshot", "-n", "a", f"{option}=-b") == "Snapshot -b of VM a is removed.\n"
    assert site.calls == [("remove_snapshot", ("context", "a", "-b"), {})]


def test_list_snapshots(site: Site, shown: Any) -> None:
    """People read a size with its unit, programs in bytes; what is unknown is not made up, and nothing steers the terminal."""
    time = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    whole = VmSnapshot("a", grouped=False, images={"i": ImageSnapshot(1, "a", time, used=3 << 20, protected=True)})
    partial = VmSnapshot("b\x1b", grouped=True, images={"i": ImageSnapshot(2, "x", time)}, missing=("j",), complete=False)
    gone = VmSnapshot("c", grouped=True, images={}, missing=("i",))
    record = Record("a", grouped=False, who="ann@desk", consistency=Consistency.OFFLINE, ids={"i": 1})
    site.answer = [(whole, record), (partial, None), (gone, None)]
    assert json.loads(shown("list_snapshots", "-n", "a", "-f", "json"))[:2] == [
        {"Name": "a", "Time": "2026-03-04T12:00:00Z", "Used": 3 << 20, "Consistency": "offline", "By": "ann@desk", "Details": "protected"},
        {"Name": "b\\x1b", "Time": "2026-03-04T12:00:00Z", "Used": None, "Consistency": "unknown", "By": "", "Details": "partial; not of j; not completed"},
    ]  # fmt: skip
    assert "| 3.0 MiB |" in shown("list_snapshots", "-n", "a")
    assert [Size(size).human_readable() for size in (None, 0, 1023, 1024, 5 << 40, 5 << 50)] == [
        "", "0 B", "1023 B", "1.0 KiB", "5.0 TiB", "5120.0 TiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "retention"),
    [
        ((), Retention()),
        (("--date", "31/12/2025 23:59:58"), Retention(before=datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC))),
        (("--date", "2025-12-31"), Retention(before=datetime(2025, 12, 31, tzinfo=UTC))),
        (("--date", "2025-12-31T23:59:58+01:00"), Retention(before=datetime(2025, 12, 31, 22, 59, 58, tzinfo=UTC))),
        (("--number", "3"), Retention(oldest=3)),
        (("--keep-last", "1", "--keep-daily", "2", "--keep-weekly", "3"), Retention(keep_last=1, keep_daily=2, keep_weekly=3)),
    ],
)
def test_purge(site: Site, shown: Any, words: tuple[str, ...], retention: Retention) -> None:
    """Each rule; vm_manager's form of a date and ISO 8601, in UTC unless it says otherwise."""
    site.answer = ["x", "y"]
    assert shown("purge", "-n", "a", *words) == "Removed of VM a: x, y.\n"
    assert site.calls == [("purge", ("context", "a", retention), {})]
    site.answer = []
    assert shown("purge", "-n", "a", *words) == "VM a has no such snapshots.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--date", "12/31/2025 00:00:00"), "'12/31/2025 00:00:00' is no date; write it as '31/12/2026 23:59:59'"),
        (("--date", ""), "'' is no date"),
        (("--number", "0"), "'0' is not a whole number above 0"),
        (("--keep-last", "-1"), "'-1' is not a whole number above 0"),
        (("--keep-daily", "x"), "'x' is not a whole number above 0"),
        (("--keep-weekly", "\u0663"), "is not a whole number above 0"),
        (("--number", "1", "--keep-last", "1"), "give one of them"),
        (("--date", "2025-12-31", "--number", "1"), "give one of them"),
    ],
)
def test_purge_refuses_what_is_no_rule(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """A rule that cannot be read, or two that contradict each other, remove nothing: exit code 2."""
    assert said in refused(capsys, "purge", "-n", "a", *words)
    assert site.calls == []

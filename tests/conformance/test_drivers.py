"""One suite for every registered driver: built-in or of an installed plugin."""

from __future__ import annotations

import dataclasses
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from vmmgr.command import DEFAULT_TIMEOUT, Command, CommandFailedError
from vmmgr.drivers import base
from vmmgr.drivers.pacemaker.driver import ConflictError
from vmmgr.errors import VmMgrError
from vmmgr.remote.batch import Result

from .conftest import ARGUMENTS

if TYPE_CHECKING:
    from .conftest import Subject

SAMPLE_CIB = """<cib><configuration><crm_config><cluster_property_set id="vm-mgr-vm1"/></crm_config>
<resources><primitive id="first"/><primitive id="vm1"/></resources><constraints/></configuration>
<status><node_state><lrm><lrm_resource id="vm1"/></lrm></node_state></status></cib>"""
EDITING = {"take_lease", "replace_lease", "renew_lease", "drop_lease", "define", "redefine", "delete", "set_meta", "cleanup"}
DOCUMENTS = {"document", "content", "domain_xml"}


def each(subject: Subject) -> list[tuple[str, Command[Any]]]:
    """Return each method with its command."""
    return [(method, subject.command(method)) for method in subject.methods]


def answer(command: Command[Any], exit_code: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> Result:
    """Return what the node hv1 answers to a command."""
    return Result("hv1", command.argv, exit_code, stdout, stderr)


def test_every_method_makes_a_command(subject: Any) -> None:
    """Each abstract method gives a command of non-empty words that can be compared and does not change."""
    for method, command in each(subject):
        assert isinstance(command, Command), method
        assert command.argv, method
        assert all(isinstance(word, str) for word in command.argv), method
        assert command.argv[0], method
        assert subject.command(method).argv == command.argv, method
        with pytest.raises(dataclasses.FrozenInstanceError):
            command.changes = True  # type: ignore[misc]


def test_only_what_changes_says_so(subject: Any) -> None:
    """A method that reads may be repeated and run by --dry-run; every other one says that it changes something."""
    assert {method: command.changes for method, command in each(subject)} == {
        method: not subject.reads(method) for method in subject.methods
    }


def test_a_drivers_own_templates_are_declared(subject: Any) -> None:
    """Where a class is there to be built upon with another folder, it says which templates that must have: those it uses.

    Without ``download``, which is newer than API 1, a guest driver lacks what only a workstation asks of it.
    """
    if subject.spec.kind in ("cluster", "guest"):
        each(subject)
        own = f"{subject.driver.folder}/"
        used = {name.removeprefix(own) for name in subject.driver.renderer.used if name.startswith(own)}
        assert used - {"download"} == set(subject.driver.templates)


def test_every_command_has_a_sensible_deadline(subject: Any) -> None:
    """What reads is answered soon; nothing may take for ever; a stream of a whole disk may take hours."""
    for method, command in each(subject):
        assert 0 < command.timeout <= 24 * 3600, method
        if subject.reads(method):
            # about all disks of a VM there are many questions, of which the first ends soon if there is no answer; and a rehearsal
            # starts the cluster's tool once for each line
            assert command.timeout <= DEFAULT_TIMEOUT * (3 if method in {"disks", "rehearse"} else 1), method
        if method == "import_image":
            assert command.timeout >= 3600


def test_documents_go_over_stdin_whole(subject: Any) -> None:
    """A document is the standard input, unchanged and on no command line; nothing else has one but XML of its own.

    A program for a guest's agent is in its request, in base64, and neither is on the command line.
    """
    for method, command in each(subject):
        given = DOCUMENTS & set(subject.parameters(method))
        for name in given:
            document = subject_document(name)
            assert command.stdin == document, method
            assert document not in " ".join(command.argv), method
        if "program" in subject.parameters(method):
            program = b64encode(ARGUMENTS["program"]).decode()
            assert json.loads(str(command.stdin))["arguments"]["input-data"] == program, method
            assert "\n" not in str(command.stdin), method
            assert "'" not in str(command.stdin), method
            assert program not in " ".join(command.argv), method
        elif command.stdin is not None:
            ET.fromstring(command.stdin)


def subject_document(name: str) -> str:
    """Return the document that a parameter was given."""
    return str(ARGUMENTS[name])


@pytest.mark.parametrize("code", [1, 3, 126, 127, 255])
def test_a_failure_names_host_and_command(subject: Any, code: int) -> None:
    """Every command that fails tells where, what was run, its exit code and what it said last."""
    for method, command in each(subject):
        with pytest.raises(CommandFailedError) as caught:
            command.parse(answer(command, code, stderr=b"first\n\nno space \xff left\n"))
        text = str(caught.value)
        assert text.startswith(f"On hv1, `{command.argv[0]}"), method
        assert f"failed with exit code {code}: first / no space \ufffd left" in text, method


@pytest.mark.parametrize("code", [124, 137])
def test_a_timeout_is_no_answer(subject: Any, code: int) -> None:
    """A command that was ended because its time was up has failed, whatever it had printed by then."""
    for method, command in each(subject):
        with pytest.raises(CommandFailedError, match="took longer than it may") as caught:
            command.parse(answer(command, code, b"[]"))
        assert "On hv1" in str(caught.value), method


GARBAGE = (
    b"", b"\n", b"garbage\n", b"{", b"[", b"<", b"<cib", b"<a/>", b"null", b"{}", b"[]", b"[{}]", b"3", b"\xff\xfe\x00", b"\x00", b"[" * 100_000,
    b"<?xml version='1.0' encoding='nope'?><a/>", b"domain\nuuid\nsecret\n<\n", b"\xed\xa0\x80",
)  # fmt: skip


def test_garbage_is_never_more_than_a_failure(subject: Any) -> None:
    """Whatever a node prints, a parser returns a value or fails with one sentence that names host and command."""
    complaints = []
    for _method, command in each(subject):
        for stdout in GARBAGE:
            try:
                command.parse(answer(command, 0, stdout))
            except CommandFailedError as error:
                complaints.append((command.argv[0], str(error)))
    for program, complaint in complaints:
        assert complaint.startswith(f"On hv1, `{program} ")
        assert complaint.endswith("gave an answer that cannot be understood.")


def test_a_command_without_a_value_takes_any_success(subject: Any) -> None:
    """Exit code 0 is success, whatever else the tool had to say."""
    for method, command in each(subject):
        if not subject.value(method):
            assert command.parse(answer(command, 0, b"chatter", b"WARNING: more chatter")) is None, method


def test_commands_are_shown_as_they_are(subject: Any) -> None:
    """The error of a very long command stays readable: its middle is left out."""
    for _method, command in each(subject):
        long = dataclasses.replace(command, argv=(*command.argv, "x" * 5000))
        with pytest.raises(VmMgrError) as caught:
            command.parse(answer(long, 1))
        assert len(str(caught.value)) < 600


@pytest.fixture
def both(subject_of: Any) -> tuple[Any, Any]:
    """The two drivers of a Pacemaker cluster."""
    return subject_of("crmsh"), subject_of("pcs")


def test_cluster_drivers_differ_in_their_changes_only(both: tuple[Any, Any]) -> None:
    """Both read, guard and mark with the very same commands; their own changes get the same documents and deadlines."""
    crmsh, pcs = both
    own = {"define", "redefine", "rehearse", "delete"}
    for method in base.ClusterDriver.__abstractmethods__:
        one, other = crmsh.command(method), pcs.command(method)
        assert (one.argv == other.argv) is (method not in own), method
        assert (one.stdin, one.changes, one.timeout) == (other.stdin, other.changes, other.timeout), method


@pytest.mark.parametrize("method", ["assert_unchanged", "assert_absent", "assert_lease", "take_lease"])
@pytest.mark.parametrize("code", [75, 108])
def test_a_conflict_is_told_from_a_failure(both: tuple[Any, Any], method: str, code: int) -> None:
    """A guard that finds something else, and a lease that exists, are conflicts, with what was said of them."""
    for subject in both:
        command = subject.command(method)
        with pytest.raises(ConflictError, match=r"On hv1, the cluster's configuration changed meanwhile\. It exists"):
            command.parse(answer(command, code, stderr=b"It exists\n"))


def test_a_lease_that_is_gone_cannot_be_replaced(both: tuple[Any, Any]) -> None:
    """Where another one stands, or none, that is a conflict: somebody was faster."""
    for subject in both:
        command = subject.command("replace_lease")
        with pytest.raises(ConflictError, match="On hv1, the mark of the operation was taken away or replaced meanwhile"):
            command.parse(answer(command, 105, stderr=b"No such device or address\n"))


def test_what_changes_the_cib_foretells_it(both: tuple[Any, Any]) -> None:
    """Every command of a cluster driver that changes something can do so to a copy of the CIB; both drivers do the same to it."""
    for method in base.ClusterDriver.__abstractmethods__:
        copies = []
        for subject in both:
            command = subject.command(method)
            assert (command.edit is not None) is command.changes, method
            cib = ET.fromstring(SAMPLE_CIB)
            if command.edit:
                command.edit(cib)
            copies.append(ET.tostring(cib))
        assert copies[0] == copies[1], method
        assert (copies[0] == ET.tostring(ET.fromstring(SAMPLE_CIB))) is (method not in EDITING), method


def test_a_lease_is_written_as_it_will_be_read(both: tuple[Any, Any]) -> None:
    """The document that marks an operation is read back as the same lease, whatever stands in it."""
    from vmmgr.drivers.pacemaker.cib import Cib

    for subject in both:
        for method in ("take_lease", "replace_lease", "renew_lease"):
            document = subject.command(method).stdin
            cib = Cib(ET.fromstring(f"<cib><configuration><crm_config>{document}</crm_config></configuration></cib>"))
            assert cib.leases() == {"vm1": ARGUMENTS["lease"]}

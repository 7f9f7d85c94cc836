"""How checks are asked for and reported: rounds, machines that do not answer, hostile answers, and a site's own checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from recordedsite import SITE, RecordedRemote, Said, check, found, lose

from vmmgr.checks.answers import Answers, NoAnswer, Node, Nodes, NotAskedYet
from vmmgr.checks.reading import unlike
from vmmgr.checks.running import PACKAGED, known_checks
from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from vmmgr.site.model import Site

HOSTILE = "\x1b[2J\u202e\x00]]>\n<fail>" + "x" * 100_000


def own(folder: Path, body: str, name: str = "test_own.py") -> Site:
    """Return the site with a folder of checks of its own."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(textwrap.dedent(body))
    return replace(SITE, checks=folder)


def test_backend_quotes_and_keeps(remote: RecordedRemote) -> None:
    """A value is one word of the shell line; an answer is asked for once, and what is unknown is asked with the next fetch."""
    remote.changed["hv1", "ls -- 'a b; rm c'"] = Said("caf\udce9\n", 3, "no")
    answers = Answers(remote)  # type: ignore[arg-type]
    node = Node(answers, "hv1")
    with pytest.raises(NotAskedYet):
        node.run("ls -- %s", "a b; rm c")
    answers.fetch()
    answer = node.run("ls -- %s", "a b; rm c")
    assert (answer.rc, answer.stdout, answer.stderr, str(node)) == (3, "caf\N{REPLACEMENT CHARACTER}\n", "no", "hv1")
    assert remote.execs["hv1"] == 1


def test_machines_are_asked_in_the_same_round(remote: RecordedRemote) -> None:
    """Comparing machines asks all of them at once; those that do not answer are left out, unless it is about them."""
    lose(remote, "hv2")
    answers = Answers(remote)  # type: ignore[arg-type]
    nodes = Nodes({name: Node(answers, name) for name in ("hv1", "hv2", "obs1")})
    with pytest.raises(NotAskedYet):
        nodes.each("true")
    answers.fetch()
    assert list(nodes.each("true")) == ["hv1", "obs1"]
    assert list(nodes.beside(nodes["hv1"], "true")) == ["hv1", "obs1"]
    with pytest.raises(NoAnswer, match="hv2 does not answer"):
        nodes.beside(nodes["hv2"], "true")
    with pytest.raises(NoAnswer):
        nodes["hv2"].each(["true"])
    assert remote.execs == {"hv1": 1, "hv2": 1, "obs1": 1}


def test_a_machine_that_does_not_answer_is_one_finding(remote: RecordedRemote) -> None:
    """Nothing else is said of it, and the other machines are checked as ever, another one speaking for the cluster."""
    everything = len(check(RecordedRemote()))
    lose(remote, "obs1")
    findings = check(remote)
    assert set(found(findings)) == {("hosts-answer", "obs1")}
    assert len(findings) == everything
    assert {finding.host for finding in findings if finding.result == "skipped"} == {"obs1"}
    assert remote.execs["obs1"] == 1


def test_no_machine_answers(remote: RecordedRemote) -> None:
    """Each is a finding, and the rest was not looked at."""
    lose(remote, "hv1", "hv2", "obs1")
    findings = check(remote)
    assert set(found(findings)) == {("hosts-answer", name) for name in ("hv1", "hv2", "obs1")}
    assert {finding.result for finding in findings} == {"failed", "skipped"}


def test_another_machine_speaks_for_the_cluster(remote: RecordedRemote) -> None:
    """Where Pacemaker does not run on the observer, a hypervisor is asked."""
    remote.changed["obs1", "crm_mon"] = Said("", 102, "Not connected")
    crm_mon = remote.recorded("obs1", "crm_mon").replace(
        'name="obs1" id="3" online="true"', 'name="obs1" id="3" online="false"'
    )
    remote.changed["hv1", "crm_mon"] = Said(crm_mon)
    assert set(found(check(remote))) == {("pacemaker-online", "obs1")}


@pytest.mark.parametrize(
    "answer", [Said(HOSTILE), Said("", 1, HOSTILE), Said("{}"), Said("<a/>"), Said("[1]", 0), Said("1 2 3\n" * 3)]
)
def test_hostile_answers(remote: RecordedRemote, answer: Said, tmp_path: Path) -> None:
    """Whatever the machines say, every check has a result, and the report for machines is well-formed XML."""
    remote.changed["all", ""] = answer
    report = tmp_path / "report.xml"
    findings = check(remote, junit=report)
    assert {finding.check.code for finding in findings} == {known.code for known in known_checks(None)}
    cases = ET.parse(report).findall(".//testcase")
    assert len(cases) == len(findings)


def test_selection(remote: RecordedRemote) -> None:
    """One machine, an expression on codes, codes to leave out; who is not concerned is not asked."""
    findings = check(remote, hosts=["hv2"], expression="hosts-space or libvirt and not cpu", ignored=["libvirt-key"])
    assert {finding.host for finding in findings} == {"hv2"}
    codes = [finding.check.code for finding in findings]
    assert codes == ["hosts-space", "libvirt-daemon", "libvirt-secret", "libvirt-ordering", "libvirt-scopes", "libvirt-guests"]
    assert set(remote.execs) == {"hv1", "hv2"}  # the secret is compared


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"hosts": ["hv9"]}, "has no machine 'hv9'; it has hv1, hv2, obs1"),
        ({"ignored": ["hosts-clok"]}, "There is no check 'hosts-clok' to ignore"),
        ({"expression": "ceph and"}, "'ceph and'|ceph and"),
        ({"expression": "nothing"}, "None of the checks is left"),
    ],
)
def test_wrong_selections(remote: RecordedRemote, selection: dict[str, object], said: str) -> None:
    """A selection that names what is not there, or leaves nothing, is a usage error before anybody is asked."""
    with pytest.raises(UsageError, match=said):
        check(remote, **selection)
    assert remote.execs == {}


def test_a_sites_own_checks(remote: RecordedRemote, tmp_path: Path) -> None:
    """They have the same fixtures, testinfra's modules, plain assertions, and codes of the same kind."""
    site = own(
        tmp_path / "checks",
        '''
        import pytest
        from vmmgr.checks import explained

        @explained(why="Because.", remedy="Mend {host}.")
        def test_motd(host):
            """There is a message of the day."""
            assert host.file("/etc/motd").exists, "none"

        def test_plain(hypervisor, site):
            """Plain.

            It is plain
            to see.
            """
            assert site.name == "other"

        @pytest.fixture(scope="session")
        def told(tmp_path_factory):
            return tmp_path_factory.mktemp("x")

        def test_many(cluster, told):
            for number in range(12):
                assert cluster.check_output(f"echo {number}") == str(number)

        @pytest.mark.parametrize("name", ["a", "b"])
        def test_names(host, name):
            assert name
        ''',
    )
    echoes = {f"echo {number}": Said(f"{number}\n") for number in range(12)}
    remote.otherwise = defaultdict(lambda: Said("Linux\n"), echoes | {"test -e /etc/motd": Said("", 1)})
    findings = [finding for finding in check(remote, site) if finding.check.code.startswith("own-")]
    results = {(finding.check.code, finding.host): finding.result for finding in findings}
    assert results == {
        **{("own-motd", name): "failed" for name in ("hv1", "hv2", "obs1")},
        **{("own-plain", name): "failed" for name in ("hv1", "hv2")},
        ("own-many", "cluster"): "passed",
        **{("own-names", name): "passed" for name in ("hv1", "hv2", "obs1")},
    }
    motd = next(finding for finding in findings if finding.check.code == "own-motd")
    assert (motd.seen, motd.remedy, motd.check.what) == ("none", "Mend hv1.", "There is a message of the day.")
    plain = next(finding for finding in findings if finding.check.code == "own-plain")
    assert "recorded" in plain.seen
    assert (plain.check.what, plain.check.why) == ("Plain.", "It is plain to see.")


def test_the_documented_example(remote: RecordedRemote, tmp_path: Path) -> None:
    """What docs/checks.rst shows of a site's own checks works as told."""
    page = (Path(__file__).parents[3] / "docs/checks.rst").read_text(encoding="utf-8")
    example = re.search(r"\n    from vmmgr.*?\n\n(?=\S)", page, re.DOTALL)
    assert example
    remote.otherwise = {"pidof ptp4l": Said("", 1), "date +%Z": Said("UTC\n")}
    findings = check(remote, own(tmp_path / "checks", example[0]), expression="own-")
    assert {(finding.check.code, finding.host): finding.seen for finding in findings if finding.result == "failed"} == {
        ("own-clock", "hv1"): "ptp4l does not run",
        ("own-clock", "hv2"): "ptp4l does not run",
    }
    assert {finding.result for finding in findings if finding.check.code == "own-time"} == {"passed"}
    assert set(remote.execs.values()) == {1}


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("import nonexistent_module", "No module named 'nonexistent_module'"),
        ("def test_x(host):\n    host.nothing()", "has no attribute 'nothing'"),
        ("def test_x(host, strange):\n    pass", "FixtureLookupError: .*strange"),
        ("def test_x(host:", "SyntaxError|never closed"),
        ("def test_x(host):\n    raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_own_checks_that_are_broken(remote: RecordedRemote, tmp_path: Path, body: str, seen: str) -> None:
    """They are told of as such, with the reason, and keep nothing else from being checked."""
    findings = check(remote, own(tmp_path / "checks", body))
    errors = [finding for finding in findings if finding.result == "error"]
    assert errors
    assert all(re.search(seen, finding.seen) for finding in errors), errors[0].seen
    assert {finding.result for finding in findings if finding not in errors} == {"passed"}


def test_nothing_of_the_users_own_pytest(remote: RecordedRemote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the folder where vm-mgr is called, and options in the environment, have no effect, and stay."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--nonsense")
    assert found(check(remote)) == {}
    assert os.environ["PYTEST_ADDOPTS"] == "--nonsense"


def test_an_interruption_ends_it(remote: RecordedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while machines are asked is Ctrl-C for the program, not a finding."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "run_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(remote)


def test_unlike() -> None:
    """Of three, the odd one is named; of two that differ, both; none where all are alike."""
    assert unlike("a", {"a": 1, "b": 1, "c": 2}) == []
    assert unlike("c", {"a": 1, "b": 1, "c": 2}) == ["a", "b"]
    assert unlike("a", {"a": 1, "b": 2}) == ["b"]
    assert unlike("a", {"a": 1, "b": 1}) == []
    assert unlike("x", {"a": 1, "b": 2}) == []


def test_plain_pytest_needs_a_site(tmp_path: Path) -> None:
    """Without a site, or with one that is not there, a plain pytest says what vm-mgr says."""
    for words, said in (([], "Which site is meant?"), (["--vmmgr-site", "x"], "There is no site 'x'")):
        command = [sys.executable, "-m", "pytest", "--pyargs", "vmmgr.checks", *words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VMMGR_")}
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 4, done.stdout
        assert said in done.stderr


def test_every_check_is_explained() -> None:
    """Each says what is in order, why it matters and what to do, in whole sentences, and has a code of two words at least."""
    for known in known_checks(None):
        assert all(text.endswith(".") for text in (known.what, known.why, known.remedy)), known
        assert "-" in known.code
    assert PACKAGED.is_dir()

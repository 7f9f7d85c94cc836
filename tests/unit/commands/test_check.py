"""``check`` on the command line: what is printed in which format, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from vmmgr import session
from vmmgr.app import main
from vmmgr.checks import Check, running
from vmmgr.checks.running import Finding, Selection
from vmmgr.errors import ConfigurationError

SPACE = Check("hosts-space", "There is room.", "It stops.", "Make room on {host}.")
QUORUM = Check("corosync-quorum", "There is quorum.", "It stops.", "Bring them back.")
PASSED = Finding(SPACE, "hv1", "passed")
FAILED = Finding(SPACE, "hv2", "failed", "/var is 95% full\x1b[2J\n| hosts-x", "Make room on hv2.")
SKIPPED = Finding(QUORUM, "cluster", "skipped", "no machine answers")
BROKEN = Finding(Check("own", "", "", ""), "cluster", "error", "KeyError: 'x'")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A site whose findings a test chooses as ``findings``; what was asked for is found beside them."""
    kept: dict[str, Any] = {"findings": [PASSED, FAILED, SKIPPED]}

    def run_checks(site: Any, remote: Any, selection: Selection) -> list[Finding]:
        kept["selection"] = selection
        return kept["findings"]

    def choose_site(**options: Any) -> str:
        kept["options"] = options
        return "site"

    monkeypatch.setattr(running, "run_checks", run_checks)
    monkeypatch.setattr(session, "choose_site", choose_site)
    monkeypatch.setattr(session, "reach", nullcontext)
    return kept


def test_what_is_not_in_order_is_printed(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are what did not pass, nothing of them can steer the terminal; a sentence on stderr counts; exit code 1."""
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert "hosts-space" in out
    assert "95% full\\x1b[2J\\n| hosts-x" in out
    assert "no machine answers" in out
    assert "| hv1" not in out
    assert err.startswith("1 passed, 1 failed, 1 skipped in ")
    assert main(["-q", "check", "-f", "value"]) == 1
    assert capsys.readouterr().err == ""


def test_formats_say_the_same(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """JSON, YAML and CSV hold the same rows; ``--all`` has what passed as well."""
    assert main(["check", "--all", "-f", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {"Code": "hosts-space", "Host": "hv1", "Result": "passed", "Seen": "", "Remedy": ""}
    assert [row["Result"] for row in rows] == ["passed", "failed", "skipped"]
    main(["check", "--all", "-f", "yaml"])
    assert yaml.safe_load(capsys.readouterr().out) == rows
    main(["check", "--all", "-f", "csv"])
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out), escapechar="\\")) == rows


@pytest.mark.parametrize(
    ("findings", "code"), [([PASSED], 0), ([PASSED, SKIPPED], 0), ([PASSED, FAILED], 1), ([BROKEN], 1), ([FAILED, BROKEN], 1)]
)
def test_exit_code(asked: dict[str, Any], capsys: pytest.CaptureFixture[str], findings: list[Finding], code: int) -> None:
    """0 where nothing was found, 1 where anything was, or where a check itself is broken."""
    asked["findings"] = findings
    assert main(["check", "-f", "json"]) == code
    assert len(json.loads(capsys.readouterr().out)) == len(findings) - (PASSED in findings)


def test_options_reach_the_checks(asked: dict[str, Any], tmp_path: Path) -> None:
    """What is chosen arrives as it was given, the site's options before or after the verb."""
    report = tmp_path / "report.xml"
    main(["-i", "a.yaml", "check", "--host", "hv1", "--host", "hv2", "-k", "ceph and not space", "--ignore", "hosts-clock", "--junit", str(report)])  # fmt: skip
    assert asked["selection"] == Selection(["hv1", "hv2"], "ceph and not space", ["hosts-clock"], report)
    assert asked["options"] == {"site": None, "inventories": [Path("a.yaml")], "config": None}


def test_report_that_cannot_be_written(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """That is said before anybody is contacted."""
    assert main(["check", "--junit", "/nonexistent/report.xml"]) == 2
    assert "/nonexistent/report.xml cannot be written" in capsys.readouterr().err
    assert main(["check", "--junit", "/dev"]) == 2
    assert "/dev is a folder; name a file in it." in capsys.readouterr().err
    assert "options" not in asked


def test_list_contacts_nobody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All codes are told with what and why, without a site; one that is named must be there."""
    for name in ("VMMGR_SITE", "VMMGR_INVENTORY", "VMMGR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(session, "reach", lambda site: pytest.fail("it was contacted"))
    assert main(["check", "--list", "-f", "json"]) == 0
    rows = {row["Code"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["pacemaker-stonith"]["What"] == "Fencing is on."
    assert all(row["Why"] and row["Remedy"] for row in rows.values())
    assert main(["--site", "x", "check", "--list"]) == 2
    assert "There is no site 'x'" in capsys.readouterr().err


def test_report_in_junits_format(tmp_path: Path) -> None:
    """The file has a case per finding; a failure has what was seen, why it matters and what to do."""
    from vmmgr.checks.running import run_checks

    class Remote:
        def run_many(self, batches: Any, *, together: bool) -> Any:
            return {host: ConfigurationError("it is \x1b[2J off") for host in batches}

    from vmmgr.site.model import Machine, Site

    report = tmp_path / "report.xml"
    run_checks(
        Site("s", (Machine("hv1", "192.0.2.1", hypervisor=True),)), Remote(), Selection(expression="hosts", junit=report)
    )  # type: ignore[arg-type]
    cases = {case.get("name"): case for case in ET.parse(report).iter("testcase")}
    assert set(cases) == {"test_answer[hv1]", "test_clock[hv1]", "test_space[hv1]", "test_sudo[hv1]", "test_hardening[hv1]"}
    failure = cases["test_answer[hv1]"].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert [line[:13] for line in failure.text.splitlines()] == ["it is #x1B[2J", "It cannot be ", "Follow what w"]

"""Runs the checks with pytest, inside this program: ``vm-mgr check`` and a plain ``pytest --pyargs vmmgr.checks`` are one."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.checks import Check
from vmmgr.checks.plugin import CLUSTER, SitePlugin
from vmmgr.errors import UsageError
from vmmgr.hooks import check_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmmgr.remote import Remote
    from vmmgr.site import Site

PACKAGED = Path(__file__).parent
# Nothing of a user's own pytest: settings, plugins, caches, and what it prints.
_ALONE = (
    "--disable-plugin-autoload", "--config-file=/dev/null", f"--rootdir={PACKAGED}", "--import-mode=importlib", "--continue-on-collection-errors",
    "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:logging", "-p", "no:faulthandler",
    # they collect all garbage twice, for warnings that nobody would see
    "-p", "no:unraisableexception", "-p", "no:threadexception",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check on one machine.

    Attributes:
        check: The check.
        host: The machine, or ``cluster``.
        result: ``passed``, ``failed``, ``skipped`` (it could not be looked at), or ``error`` (the check itself is wrong).
        seen: What was seen, where it did not pass.
        remedy: What to do, where it failed.
    """

    check: Check
    host: str
    result: str
    seen: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to check.

    Attributes:
        hosts: These machines only, and nothing of the cluster as a whole; none for everything.
        expression: As for pytest's ``-k``; empty for everything.
        ignored: The codes of the checks to leave out.
        junit: A file to write the findings to, in JUnit's format.
    """

    hosts: Sequence[str] = ()
    expression: str = ""
    ignored: Sequence[str] = ()
    junit: Path | None = None


class Collector:
    """Takes what pytest reports; what cannot be imported is a finding, too, and keeps nothing else from being checked."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        """Have tracebacks as Python has them: to find the whole statement of each line takes longer than the check."""
        config.option.tbstyle = "native"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a module that cannot be imported."""
        if report.failed:
            said = str(report.longrepr).strip().splitlines()[-1]
            self.findings.append(broken(report.nodeid or "a folder of checks", said.removeprefix("E").strip()))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Let a mistake of vm-mgr's own go on to where such are told."""
        raise excinfo.value

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take a finding: what came out of the check, or out of what had to be done before and after it."""
        if report.when != "call" and report.passed:
            return
        check, host = report.vmmgr_check, report.vmmgr_host
        result = "error" if report.failed and report.vmmgr_broken else report.outcome
        remedy = check.remedy.replace("{host}", host) if result == "failed" else ""
        self.findings.append(Finding(check, host, result, report.vmmgr_seen, remedy))


def broken(name: str, said: str) -> Finding:
    """Return the finding that checks cannot be used."""
    what = Check(name, "These checks can be used.", "", "")
    return Finding(what, CLUSTER, "error", said)


def run_checks(site: Site, remote: Remote, selection: Selection) -> list[Finding]:
    """Run the checks of a site, and return what became of each.

    Raises:
        UsageError: The selection names what is not there, or leaves nothing.
    """
    for host in selection.hosts:
        site.machine(host)
    words = ["-k", selection.expression] if selection.expression else []
    words += [f"--junit-xml={selection.junit.absolute()}"] if selection.junit else []
    plugin = SitePlugin(site, remote, hosts=selection.hosts, ignored=selection.ignored)
    findings = _pytest(site, words, plugin)
    if not findings:
        raise UsageError("None of the checks is left that were chosen; `vm-mgr check --list` shows them all.")
    order = list(plugin.checks)
    return sorted(findings, key=lambda finding: order.index(finding.check.code) if finding.check.code in order else -1)


def known_checks(site: Site | None) -> list[Check]:
    """Return the packaged checks, those of plugins and those of the site; nobody is contacted."""
    plugin = SitePlugin(site, None)
    findings = _pytest(site, ["--collect-only"], plugin)
    return [*(finding.check for finding in findings), *plugin.checks.values()]


def _pytest(site: Site | None, words: Sequence[str], plugin: SitePlugin) -> list[Finding]:
    """Run pytest on all folders of checks.

    Raises:
        UsageError: pytest does not understand an option, or there is no such check.
    """
    places, problems = folders(site)
    collector, said = Collector(), io.StringIO()
    with _without_options(), redirect_stderr(said):
        code = pytest.main([*_ALONE, *words, *map(str, places)], plugins=[plugin, collector])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(said.getvalue().strip().removeprefix("ERROR: "))
    return [*starmap(broken, problems), *collector.findings]


def folders(site: Site | None) -> tuple[list[Path], list[tuple[str, str]]]:
    """Return where checks are, the packaged ones first; and which plugins cannot even say where theirs are, and why."""
    found, problems = check_folders()
    return [PACKAGED, *found, *([site.checks] if site and site.checks else [])], problems


@contextmanager
def _without_options() -> Iterator[None]:
    """Keep away the options that a user gives to every pytest of this account."""
    options = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        yield
    finally:
        if options is not None:
            os.environ["PYTEST_ADDOPTS"] = options

"""The pytest plugin of one site: gives checks their machines, and asks these in rounds, one exec each, instead of one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from vmmgr.checks import Check, describe
from vmmgr.checks.answers import Answers, NoAnswer, Node, Nodes, shell
from vmmgr.checks.reading import CRM_MON
from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmmgr.operations.context import Context
    from vmmgr.remote import Remote
    from vmmgr.site.model import Site

NAME = "vmmgr-site"
"""Under which name the plugin is registered."""

SOUND = (AssertionError, pytest.fail.Exception, VmMgrError)
"""What a check raises that has found something; with anything else, the check itself is broken."""
_ROUNDS = 8
"""After so many rounds, a check that still asks for something new asks by itself."""
CLUSTER = "cluster"
"""Stands for the host of what is checked once for all machines."""


class SitePlugin:
    """Checks one site.

    Attributes:
        answers: What the machines said; None where checks are only to be listed.
        checks: What was collected, by code.
    """

    def __init__(
        self, site: Site | None, remote: Remote | None, *, hosts: Sequence[str] = (), ignored: Sequence[str] = ()
    ) -> None:
        """Take note of what to check.

        Args:
            site: The site; without one, checks can only be listed.
            remote: Its connections.
            hosts: Check these machines only, and nothing of the cluster as a whole; none for all.
            ignored: The codes of the checks to leave out.
        """
        self._site = site
        self._chosen, self._ignored = hosts, ignored
        self.answers = Answers(remote) if remote else None
        self.checks: dict[str, Check] = {}
        names = [machine.name for machine in site.machines] if site else []
        self._nodes = Nodes({name: Node(self.answers, name) for name in names}) if self.answers else Nodes()

    @pytest.fixture
    def site(self) -> Site | None:
        """What the inventory and the configuration say."""
        return self._site

    @pytest.fixture
    def hosts(self) -> Nodes:
        """All machines, to compare one with the others."""
        return self._nodes

    @pytest.fixture
    def context(self) -> Context:
        """The site's drivers, whose commands ``Node.ask`` runs."""
        from vmmgr.operations.context import Context

        assert self._site
        return Context(self._site, "vm-mgr check")

    @pytest.fixture
    def host(self, request: pytest.FixtureRequest) -> Node:
        """One machine."""
        return self._nodes[request.param]

    @pytest.fixture
    def hypervisor(self, request: pytest.FixtureRequest) -> Node:
        """One hypervisor."""
        return self._nodes[request.param]

    @pytest.fixture
    def cluster(self) -> Node:
        """The first machine that can speak for the cluster: one that answers, and on which Pacemaker does."""
        assert self._site
        assert self.answers
        there = [machine.name for machine in self._site.control_candidates if machine.name not in self.answers.lost]
        if not there:
            raise NoAnswer("no machine answers")
        said = {name: self.answers.known(name, shell(CRM_MON)) for name in there}
        return self._nodes[next((name for name in there if not (found := said[name]) or found.exit_code == 0), there[0])]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a check on every machine of the kind that it asks for."""
        machines = {"host": self._site.machines, "hypervisor": self._site.hypervisors} if self._site else {}
        for fixture in ("host", "hypervisor"):
            if fixture in metafunc.fixturenames:
                names = [machine.name for machine in machines.get(fixture, ())]
                metafunc.parametrize(fixture, names or [""], indirect=True)

    @pytest.hookimpl(tryfirst=True)  # before pytest's own for -k
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what was not chosen; -k finds a check by its code as well."""
        left_out = []
        for item in items:
            check = self.check_of(item)
            self.checks[check.code] = check
            item.extra_keyword_matches.add(check.code)
            if check.code in self._ignored or (self._chosen and host_of(item) not in self._chosen):
                left_out.append(item)
        if unknown := sorted(set(self._ignored) - set(self.checks)):
            raise pytest.UsageError(f"There is no check {unknown[0]!r} to ignore; `vm-mgr check --list` shows them all.")
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]

    def check_of(self, item: pytest.Item) -> Check:
        """Return what is known of a collected check."""
        assert isinstance(item, pytest.Function)
        return describe(item.module.__name__, item.function)

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run all checks as far as they come with what is known; ask for what they want to know, and run those again.

        So one exec per machine asks for all that all checks want there, and a check reads like one that asks by itself.
        """
        options = session.config.option
        if self.answers is None or options.collectonly or (session.testsfailed and not options.continue_on_collection_errors):
            return None  # pytest's own knows what to do
        waiting = list(session.items)
        for turn in range(_ROUNDS + 1):
            self.answers.at_once = turn == _ROUNDS
            waiting = [item for item, following in pairwise([*waiting, None]) if item and self._waits(item, following)]
            self.answers.fetch()
        return True

    def _waits(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        """Run a check; tell whether it has to wait for answers, otherwise report what became of it."""
        assert self.answers
        before = self.answers.asked
        reports = runtestprotocol(item, log=False, nextitem=following)
        if self.answers.asked != before and not self.answers.at_once:
            return True
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if item.session.shouldfail:  # -x or --maxfail
            raise item.session.Failed(item.session.shouldfail)
        return False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Give the report what a reader of the findings wants: the check, the machine, and what was seen."""
        report = yield
        check, host = self.check_of(item), host_of(item)
        report.vmmgr_check, report.vmmgr_host, report.vmmgr_seen = check, host, ""
        if call.excinfo is None:
            return report
        report.vmmgr_seen = seen(call.excinfo.value)
        report.vmmgr_broken = not isinstance(call.excinfo.value, SOUND)
        if report.failed and not report.vmmgr_broken:
            remedy = check.remedy.replace("{host}", host)
            report.longrepr = "\n".join(filter(None, (report.vmmgr_seen, check.why, remedy)))
        return report


def host_of(item: pytest.Item) -> str:
    """Return the machine that a check runs on, or ``CLUSTER``."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return str(params.get("host", params.get("hypervisor", CLUSTER)))


def seen(error: BaseException) -> str:
    """Return what a failed check says was seen: the assertion's own message, without what pytest adds to it."""
    text = " ".join(str(error).partition("\nassert ")[0].split())
    return text if isinstance(error, (*SOUND, pytest.skip.Exception)) else f"{type(error).__name__}: {text}"

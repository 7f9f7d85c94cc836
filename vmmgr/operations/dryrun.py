"""Runs an operation without changing anything: what it reads is read for real, what it would change is noted down.

Once something would have changed, the operation is shown the cluster as it would be by then: the CIB with all changes so far,
and as the state of the VMs what Pacemaker's simulator makes of that CIB. So an operation that waits finds at once what it waits
for, or learns that Pacemaker would not do it. The storage is shown as it is: operations know what they have changed there.
Guards are noted and not run, for what they ask after, a lease for instance, is not there.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.pacemaker.cib import Cib
from vmmgr.errors import ConnectError, VmMgrError
from vmmgr.model import Simulation
from vmmgr.operations import plan
from vmmgr.operations.runner import Runner
from vmmgr.operations.steps import Change, ChangeEach, Pause, Read, ReadEach, Role, Say, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree import ElementTree as ET

    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.operations.interruption import Interruption
    from vmmgr.operations.reporting import Reporter
    from vmmgr.operations.steps import Request, Step
    from vmmgr.remote import Remote
    from vmmgr.site.model import Site


class DryRunner(Runner):
    """Runs operations on one site, and leaves it as it is.

    Attributes:
        plan: What would be run, and the sentences that would be said after the first change.
        now: The last CIB that was read before the first change.
        then: The CIB with all changes; None while there were none.
    """

    def __init__(self, site: Site, remote: Remote, reporter: Reporter, reader: ClusterDriver) -> None:
        super().__init__(site, remote, reporter)
        self._reader = reader
        self.plan: list[plan.Exec | str] = []
        self.now: ET.Element | None = None
        self.then: ET.Element | None = None

    def text(self, new: Mapping[str, str]) -> str:
        """Return what would be run and how the configuration would change; ``new`` are values that each run makes anew."""
        text = plan.script(self.plan, new)
        return f"{text}\n\n{plan.difference(self.now, self.then)}" if self.then is not None else text

    def _answer(self, request: Request, interruption: Interruption) -> Any:
        with interruption.at_once():
            match request:
                case Read():
                    at_once = tuple(command for command in request.commands if not command.waits)
                    return self._foreseen(self._watch(replace(request, commands=at_once)))
                case ReadEach():
                    answers = self._watch(request)
                    return {
                        host: self._foreseen(answer) if isinstance(answer, list) else answer for host, answer in answers.items()
                    }
                case Change():
                    return self._foretold(self._host(request.where), request.steps)
                case ChangeEach():
                    return self._foretold_each(request)
                case Stream():
                    data = f"{request.title}, as a stream of {request.total} bytes and what frames them"
                    self.plan.append(plan.Exec(self._host(request.where), (request.command,), data))
                    return request.command.foretold
                case Pause():
                    self._watch(request)
                    return False
                case Say() if self.plan and not request.warning:
                    return self.plan.append(request.text)
            return super()._answer(request, interruption)

    def _foretold(self, host: str, steps: Sequence[Step]) -> list[Any]:
        """Note the steps of an exec, do to the CIB what they would, and return what they would answer."""
        commands = tuple(step.command for step in steps)
        self.plan.append(plan.Exec(host, commands))
        for command in commands:
            if command.edit is not None and self.now is not None:
                self.then = self.then if self.then is not None else copy.deepcopy(self.now)
                before = plan.configuration(self.then)
                command.edit(self.then)
                if plan.configuration(self.then) != before:
                    self.then.set("epoch", str(int(self.then.get("epoch", "0")) + 1))
        return [command.foretold for command in commands]

    def _foretold_each(self, request: ChangeEach) -> list[str]:
        """Note the steps on several hosts; find out for real which of these cannot be reached."""
        from vmmgr.remote import Line

        left_out = []
        for host, answer in self._remote.run_many({host: [Line(("true",))] for host in request.steps}).items():
            if isinstance(answer, ConnectError) and request.leave_out:
                left_out.append(host)
            elif isinstance(answer, VmMgrError):
                raise answer
            else:
                self._foretold(host, request.steps[host])
        return left_out

    def _foreseen(self, values: list[Any]) -> list[Any]:
        """Put what would be in the place of what is."""
        if self.then is None:
            self.now = next((value.root for value in values if isinstance(value, Cib)), self.now)
            return values
        return [self._by_then(value, self.then) for value in values]

    def _by_then(self, value: Any, cib: ET.Element) -> Any:
        if isinstance(value, Cib):
            return Cib(copy.deepcopy(cib))
        if isinstance(value, Simulation):
            (simulation,) = self._watch(Read(Role.CONTROL, (self._reader.foresee(Cib(cib)),)))
            return Simulation(simulation.nodes, simulation.later, simulation.later)
        return value

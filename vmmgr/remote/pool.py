"""The machines of a site, reached side by side."""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TYPE_CHECKING

from vmmgr.errors import ChangedHostKeyError, ConnectError, UnreachableError, VmMgrError
from vmmgr.remote.agent import Agent
from vmmgr.remote.background import in_background
from vmmgr.remote.host import Host
from vmmgr.remote.target import Settings, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vmmgr.remote.batch import Line, Result
    from vmmgr.remote.target import Way


class Remote:
    """Connections to machines, each opened when it is first needed and kept until ``close()``."""

    def __init__(
        self, targets: Iterable[Target], settings: Settings | None = None, *, sudo_password: str | None = None
    ) -> None:
        """Take note of the machines; nothing is contacted yet.

        Args:
            targets: the machines, each with a name of its own.
            settings: how to connect.
            sudo_password: for logins that may run /bin/sh through sudo with a password only.
        """
        self._settings = settings or Settings()
        self._hosts = {target.name: Host(target, self._settings, sudo_password) for target in targets}
        self._approaches: dict[str, Future[object]] = {}

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def execs(self) -> Counter[str]:
        """How many commands were started by SSH on each machine."""
        return Counter({name: host.execs for name, host in self._hosts.items() if host.execs})

    @property
    def connections(self) -> Counter[str]:
        """How many times each machine was connected to."""
        return Counter({name: host.connections for name, host in self._hosts.items() if host.connections})

    def approach(self, machine: Target) -> None:
        """Begin to connect to the machine that ``connect_first`` will be asked for; it is the one that tells what became of it."""
        if self._approaches or self.connections:
            return
        # here and not in the thread, where the work of importing it would only take the time of what is done meanwhile
        from vmmgr.remote.connection import Connection  # noqa: F401

        self._approaches[machine.name] = in_background(self._hosts[machine.name].connect)

    def connect_first(self, machines: Sequence[Target], *, stagger: float = 1.5, deadline: float | None = None) -> str:
        """Connect to the first machine that answers, and return its name.

        Each has ``stagger`` seconds for itself before the next one is tried as well; one that fails makes room at once.

        Args:
            machines: in order of preference.
            stagger: seconds.
            deadline: seconds after the last start; None for as long as the machines' own time limits take.

        Raises:
            ConnectError: none can be used; the class is that of the single errors if they have one in common.
        """
        waiting = [machine.name for machine in machines]
        trying: dict[Future[object], str] = {}  # in order of preference
        failures: dict[str, ConnectError] = {}
        end = math.inf
        while waiting or trying:
            if waiting:
                name = waiting.pop(0)
                approach = self._approaches.pop(name, None)
                trying[approach or in_background(self._hosts[name].connect)] = name
                end = math.inf if deadline is None else time.monotonic() + deadline
            done, _ = wait(trying, stagger if waiting else _until(end), FIRST_COMPLETED)
            for future in [future for future in trying if future in done]:
                name, error = trying.pop(future), future.exception()
                if error is None:
                    return name
                if not isinstance(error, ConnectError):
                    raise error
                failures[name] = error
            if not done and not waiting:
                break
        late = {name: UnreachableError(f"{name} did not answer within {deadline:g} s.") for name in trying.values()}
        raise _none_reached(failures | late)

    def join(self, ways: Sequence[Way]) -> str:
        """Connect to a machine that is none of the site by the first way that works, and return the name that this way gives it.

        Raises:
            ConnectError: none works.
        """
        for way in ways:
            agent = Agent(way.target.name, self._hosts[way.through], way.agent) if way.agent else None
            relay = partial(self._hosts[way.through].open_relay, way.argv) if way.through else None
            self._hosts[way.target.name] = Host(way.target, self._settings, None, relay, agent)
        return self.connect_first([way.target for way in ways])

    def run(self, host: str, lines: Sequence[Line], *, stop_on_failure: bool = False, together: bool = False) -> list[Result]:
        """Run commands on one machine, as root and in one exec, and return one result for each.

        Args:
            host: the machine's name.
            lines: the commands, run one after the other.
            stop_on_failure: whether to skip the rest once one has failed.
            together: run them at the same time instead; for what only reads.

        Raises:
            ConnectError: nothing was run.
            BatchLostError: the connection broke while they ran.
        """
        return self._hosts[host].run(lines, stop_on_failure=stop_on_failure, together=together)

    def run_many(
        self, batches: Mapping[str, Sequence[Line]], *, stop_on_failure: bool = False, together: bool = False
    ) -> dict[str, list[Result] | VmMgrError]:
        """Run commands on several machines at the same time; a machine's error takes the place of its results."""
        work = {
            name: in_background(partial(self.run, name, lines, stop_on_failure=stop_on_failure, together=together))
            for name, lines in batches.items()
        }
        return {name: _answer(future) for name, future in work.items()}

    def stream(self, host: str, argv: Sequence[str], chunks: Iterable[bytes | memoryview], *, timeout: float) -> Result:
        """Run one command on one machine with binary data as its input; see ``Host.stream``."""
        return self._hosts[host].stream(argv, chunks, timeout=timeout)

    def close(self) -> None:
        """Close every connection; one that is still being opened is left to its own time limit."""
        for host in self._hosts.values():
            host.close()


def _until(end: float) -> float | None:
    """Return the seconds until ``end``; None for ever."""
    return None if math.isinf(end) else max(0.0, end - time.monotonic())


def _answer(future: Future[list[Result]]) -> list[Result] | VmMgrError:
    try:
        return future.result()
    except VmMgrError as error:
        return error


def _none_reached(failures: Mapping[str, ConnectError]) -> ConnectError:
    """Make one error of several: of their own class if they have it in common; that somebody may be in between is not lost."""
    if not failures:
        return UnreachableError("There is no machine to connect to. Check the groups of the inventory.")
    classes = {type(error) for error in failures.values()}
    common = classes.pop() if len(classes) == 1 else UnreachableError
    kind = ChangedHostKeyError if ChangedHostKeyError in classes else common
    return kind("\n".join(str(error) for error in failures.values()))

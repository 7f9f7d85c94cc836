"""Make a guest node of a running VM: Pacemaker's remote daemon, its key and its port in the guest, then the cluster's settings."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from vmmgr.drivers.libvirt.addresses import Reach
from vmmgr.drivers.pacemaker.guestnode import PORT
from vmmgr.errors import PartlyDoneError, VmMgrError
from vmmgr.model import check_known_name
from vmmgr.operations.guestnode import DEPLOY, NotOnlineError, add_guest_node
from vmmgr.operations.lease import new_lease, renewed, taking
from vmmgr.operations.preflight import PACKAGING, preflight
from vmmgr.operations.reaching import way_problems, ways
from vmmgr.operations.remotekey import replacing, settle_key
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.steps import Change, Pause, Role, Say, Step, Stream, change, read
from vmmgr.operations.waiting import TimeUpError

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.packagefolder import PackageFolder
    from vmmgr.operations.preflight import DeployRequest, Findings
    from vmmgr.operations.steps import Steps
    from vmmgr.remote import Result

# Seconds for the remote daemon to listen once it was started: it computes numbers for TLS first, for long in a slow guest. Seconds for
# a network to let packets through, and between two looks.
_LISTENING, _OPENING, _INTERVAL = 180.0, 20.0, 1.0


def deploy(context: Context, request: DeployRequest, *, check: bool = False) -> Steps[str]:
    """Make a running VM a guest node; return the sentence that says so. The VM goes on as it is.

    Args:
        context: The site.
        request: Which VM, and how.
        check: Only look whether it can be done.

    Raises:
        RefusedError: Something is in the way; all of it is in one message, and nothing was changed.
        ConnectError: The guest cannot be reached.
    """
    check_known_name(request.vm)
    began = context.clock()

    def attempt() -> Steps[tuple[Findings, Lease | None]]:
        found = yield from preflight(context, request)
        if check or (found.is_ready and found.key.complete and found.is_node):
            return found, None
        lease = new_lease(context, found.view, request.vm, DEPLOY, extra=PACKAGING)
        cluster = context.cluster(found.view.host, found.view.programs)
        yield from change(Role.CONTROL, *taking(cluster, found.view, lease))
        return found, lease

    found, lease = yield from with_fresh_view(attempt)
    if lease is None:
        return _words(request, found)
    if not found.packages.installed:
        yield from _install(context, found, request.packages, lease, began)
    yield from _configure(context, found)
    yield from _await_port(context, found)
    drop = Step(context.cluster(found.view.host, found.view.programs).drop_lease(lease), commits=True)
    try:
        sentence = yield from add_guest_node(context, request.vm, found.node, lease=lease)
    except TimeUpError:
        yield from change(Role.CONTROL, drop)
        raise
    except NotOnlineError as error:
        yield from change(Role.CONTROL, drop)
        again = f"`vm-mgr deploy -n {request.vm}` tries again, `vm-mgr undeploy -n {request.vm}` removes it"
        raise PartlyDoneError(f"{error}\nWhat was installed in the guest stays there; {again}.") from error
    yield from change(Role.CONTROL, drop)
    return sentence


def _words(request: DeployRequest, found: Findings) -> str:
    """Say what there is when nothing is changed."""
    vm = request.vm
    if found.is_ready and found.is_node:
        return f"VM {vm} is guest node {found.node.name} already, and online; nothing was changed."
    version = found.version(request)
    remote = f"pacemaker-remote {version}".rstrip() + ("" if found.packages.installed else " to be installed")
    return f"VM {vm} can become guest node {found.node.name} at {found.node.address}: {found.guest.system}, {remote}."


def _install(context: Context, found: Findings, folder: PackageFolder | None, lease: Lease, began: float) -> Steps[None]:
    """Install the remote daemon and resource agents, from the folder of packages if there is one."""
    driver, host, there = found.driver, found.host, ""
    if folder:
        token = secrets.token_hex(4)
        context.generated[token] = "name of a folder"
        there = f"/var/tmp/vm-mgr-{token}"  # noqa: S108 - made by root, for root only, and it fails if it is there
        yield Say(f"Sending {len(folder.files)} packages, {folder.size >> 20} MiB.")
        remove = driver.remove_folder(there)
        yield from change(host, Step(driver.make_folder(there), undo=remove))
        cluster = context.cluster(found.view.host, found.view.programs)
        renew = lambda: cluster.renew_lease(renewed(lease, context.clock() - began))  # noqa: E731
        yield Stream(host, driver.receive(there), folder.stream, "packages", folder.size, renew)
    yield Say(f"Installing in {found.guest.system}.")
    install = Step(driver.install(there), undo=_wholly(driver.uninstall()))
    (names, *_) = yield from change(host, install, *([Step(driver.remove_folder(there))] if there else []))
    if names:
        yield Say(f"Installed {len(names)} packages.")


def _wholly(command: Command[str]) -> Command[str]:
    """Make it a failure that a command leaves something, of which its value says why."""

    def parse(result: Result) -> str:
        if left := command.parse(result):
            raise VmMgrError(f"What was installed on {result.host} stays, for other packages need it: {left}")
        return left

    return replace(command, parse=parse)


def _configure(context: Context, found: Findings) -> Steps[None]:
    """Give nodes and guest the key, open the port in the guest, start the remote daemon there."""
    driver, port, steps = found.driver, found.node.port or PORT, []
    key = "" if found.has_key and found.key.complete else (yield from settle_key(context, found.key))
    if not found.has_key:
        # Debian's package has made one meanwhile
        there = found.keys if found.packages.installed else (yield from read(found.host, context.authkey.inspect()))
        steps.append((yield from replacing(context, found.host, there.own, key)))
    if found.guest.closed:
        steps.append(Step(driver.open_port(port), undo=driver.close_port(port)))
    listens = found.guest.active and (found.is_node or port == PORT)
    if not (listens and found.guest.enabled and found.has_key):
        steps.append(Step(driver.start(port), undo=None if found.guest.active else driver.stop()))
    if steps:
        yield Change(found.host, tuple(steps))
        opened = f"; {', '.join(found.guest.closed)} lets {port}/tcp through" if found.guest.closed else ""
        yield Say(f"The guest has the key, and pacemaker_remote is started{opened}.")


def _await_port(context: Context, found: Findings) -> Steps[None]:
    """Wait until every hypervisor that is on can connect to the remote daemon.

    Raises:
        VmMgrError: One cannot, or the daemon has ended.
    """
    node, began = found.node, context.clock()
    while True:
        found_ways = yield from ways(context, found.view, node)
        problems = way_problems(found_ways, node)
        if not problems:
            return
        if context.clock() - began > (_LISTENING if {*found_ways.values()} <= {Reach.OPEN, Reach.CLOSED} else _OPENING):
            raise VmMgrError("\n".join(problems))
        if not (yield Pause(_INTERVAL)):
            return
        if Reach.CLOSED in found_ways.values() and (why := (yield from read(found.host, found.driver.daemon()))):
            more = "`journalctl -u pacemaker_remote` there tells more"
            raise VmMgrError(f"pacemaker_remote does not run in {found.host}: {why.rstrip('.')}. {more}.")

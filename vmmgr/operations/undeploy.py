"""Make a mere VM of a guest node: first for the cluster, then inside the guest, where what deploy installed is removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.drivers.guest import survey
from vmmgr.drivers.pacemaker.guestnode import PORT, port_of
from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import check_known_name
from vmmgr.operations.entering import enter, find_address
from vmmgr.operations.guestnode import UNDEPLOY, check_address, remove_guest_node, service_problems
from vmmgr.operations.lease import new_lease, refuse_unless_free, taking
from vmmgr.operations.nodesettings import look
from vmmgr.operations.preflight import PACKAGING, hypervisor_of
from vmmgr.operations.remotekey import key_questions
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.steps import Read, Role, Say, Step, change
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import refuse_if

if TYPE_CHECKING:
    from vmmgr.drivers.guest.facts import Guest
    from vmmgr.drivers.pacemaker.authkey import Keys
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is to be taken away.

    Attributes:
        view: The site.
        node: Its name as a node; empty if it is none.
        port: For Pacemaker.
        host: The guest, as a host.
        guest: What the guest tells of itself.
        keys: The keys that it has.
    """

    view: View
    node: str
    port: int
    host: str
    guest: Guest
    keys: Keys

    @property
    def is_clean(self) -> bool:
        """Whether nothing of it is in the guest."""
        return not (self.guest.active or self.guest.enabled or self.guest.installed_here or self.keys.own)


def undeploy(context: Context, name: str, *, address: str | None = None, user: str | None = None) -> Steps[str]:
    """Take back what ``deploy`` did; return the sentence that says so. The VM goes on, the cluster's own key stays.

    Raises:
        RefusedError: Services run in it, the VM does not run, or it belongs to another cluster.
        ConnectError: The guest cannot be reached.
    """
    check_known_name(name)

    def attempt() -> Steps[tuple[_Found, Lease | None]]:
        found = yield from _look(context, name, address, user)
        if not found.node and found.is_clean:
            return found, None
        lease = new_lease(context, found.view, name, UNDEPLOY, extra=PACKAGING)
        yield from change(Role.CONTROL, *taking(context.cluster(found.view.host, found.view.programs), found.view, lease))
        return found, lease

    found, lease = yield from with_fresh_view(attempt)
    if lease is None:
        return f"VM {name} is no guest node already, and nothing of it is in the guest; nothing was changed."
    yield from remove_guest_node(context, name, lease=lease)
    kept = yield from _clean(context, found)
    drop = Step(context.cluster(found.view.host, found.view.programs).drop_lease(lease), commits=True)
    yield from change(Role.CONTROL, drop)
    return f"VM {name} is no guest node, {kept}."


def _look(context: Context, name: str, address: str | None, user: str | None) -> Steps[_Found]:
    """Look at the cluster and at the guest, and refuse what cannot be undone."""
    now = yield from look(context, name, beside=key_questions(context))
    view, node = now.view, now.node
    refuse_unless_free(view, name)
    exists(view, name)
    refuse_if(service_problems(now))
    host = hypervisor_of(view, name)
    address = check_address(address or (yield from find_address(context, now, host)))
    port = port_of(now.attributes) or PORT
    entered = yield from enter(context, name, host, address, user)
    inside = survey(context.renderer, port, tuple(context.guest_programs.values()))
    guest, keys = yield Read(entered, (inside, context.authkey.inspect()))
    known = {item for answer in view.beside.values() if not isinstance(answer, VmMgrError) for item in _hashes(answer[0])}
    if keys.own and keys.own not in known and not guest.installed_here:
        raise RefusedError(
            f"VM {name} has another key than the cluster's nodes in /etc/pacemaker/authkey: it may belong to another cluster, "
            f"and nothing is removed there. `vm-mgr remove_pacemaker_remote -n {name}` changes this cluster only."
        )
    return _Found(view, node, port, entered, guest, keys)


def _hashes(keys: Keys) -> set[str]:
    return {keys.own, keys.corosync}


def _clean(context: Context, found: _Found) -> Steps[str]:
    """Stop the remote daemon, and remove port, key and packages in the guest; return what came of the packages."""
    names = context.guest_programs
    driver = next((context.guest(name) for name, program in names.items() if program in found.guest.tools), None)
    if driver is None:
        return f"and in the guest, which has none of {', '.join(names.values())}, nothing was removed"
    steps = [Step(driver.stop())]
    if set(found.guest.firewalls) - set(found.guest.closed):
        steps.append(Step(driver.close_port(found.port)))
    if found.keys.own:
        steps.append(Step(context.authkey.remove(found.keys.own)))
    yield Say("Removing key and packages in the guest.")
    *_, needed = yield from change(found.host, *steps, Step(driver.uninstall()))
    if needed:
        return f"and what was installed in the guest stays, for other packages need it: {needed}"
    return (
        "and nothing of it is left in the guest"
        if found.guest.installed_here
        else "and its packages, which were there before, stay"
    )

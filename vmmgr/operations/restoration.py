"""The parts of a rollback, for the rollback itself and for its repair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError
from vmmgr.model import system_image
from vmmgr.operations.lease import holding, renewed
from vmmgr.operations.metadata import is_users
from vmmgr.operations.records import recorded
from vmmgr.operations.steps import ChangeEach, Say, Step
from vmmgr.operations.survey import config_file, is_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.disks import Disks, VmSnapshot
    from vmmgr.drivers.base import ClusterDriver, StorageDriver
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.records import Record
    from vmmgr.operations.steps import Steps

# How far a rollback is; see operations.rollback.
ROLLING, DONE = "rolling", "done"
# The domain XML as the agents and the users have it.
_DOMAIN = ("xml", "_base_xml")
# Bytes in a second: far less than Ceph rolls back on any site, so that the lease does not end before the work does.
_SLOWEST = 20 << 20


def target_of(disks: Disks, name: str) -> tuple[VmSnapshot, Record | None]:
    """Return the snapshot to roll back to, with what was written down of it.

    Raises:
        RefusedError: There is none of that name, or the VM as a whole cannot be rolled back to it.
        VmMgrError: The records cannot be read.
    """
    found = [(item, record) for item, record in recorded(disks) if item.name == name]
    if not found:
        raise RefusedError(f"VM {disks.vm} has no snapshot {name!r}; `vm-mgr list_snapshots -n {disks.vm}` shows what it has.")
    whole = [pair for pair in found if not pair[0].partial]
    if not whole:
        missing = ", ".join(found[0][0].missing) or "Ceph did not finish it"
        raise RefusedError(
            f"The snapshot {name} of VM {disks.vm} is partial, so the VM cannot be rolled back to it as a whole: not in it: {missing}."
        )
    snapshot, record = max(whole, key=lambda pair: pair[0].grouped)
    gone = sorted(set(record.ids) - set(disks.images)) if record else []
    if gone:
        raise RefusedError(
            f"The snapshot {name} of VM {disks.vm} is also one of {', '.join(gone)}, which the VM no longer has."
        )
    return snapshot, record


def metadata_to_restore(storage: StorageDriver, vm: str, now: Mapping[str, str], then: Mapping[str, str]) -> list[Step]:
    """Return the steps that bring back the user's metadata and the domain XML; the settings of the resource stay."""
    image = system_image(vm)

    def setting(key: str, values: Mapping[str, str]) -> Command[None]:
        return storage.set_metadata(image, {key: values[key]}) if key in values else storage.unset_metadata(image, (key,))

    other = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
    restored = [key for key in other if is_users(key) or (key in _DOMAIN and key in then)]
    return [Step(setting(key, then), undo=setting(key, now)) for key in restored]


@dataclass(frozen=True)
class Restoration:
    """What a rollback works with, or a repair of one.

    Attributes:
        context: The site.
        view: What the cluster says of it.
        lease: That of the operation; its notes say what the rollback is about.
        began: When the lease was taken, by the context's clock.
        disks: The VM's, as the storage has them.
        goal: The snapshot to go to: the one asked for, or in a repair the safety snapshot.
    """

    context: Context
    view: View
    lease: Lease
    began: float
    disks: Disks
    goal: str

    @property
    def safety(self) -> str:
        """The name of the safety snapshot; empty where there is none."""
        return self.lease.notes.get("safety", "")

    @property
    def role(self) -> str:
        """The target role to go back to; empty where it is what it was before."""
        return self.lease.notes.get("role", "") if self.view.is_defined(self.disks.vm) else ""

    @property
    def cluster(self) -> ClusterDriver:
        """The cluster driver of the control host."""
        return self.context.cluster(self.view.host, self.view.programs)

    @property
    def finish(self) -> str:
        """What to do when what cannot be taken back was not finished."""
        vm = self.disks.vm
        return f"The rollback of VM {vm} is not at its end; `vm-mgr repair -n {vm}` finishes it."

    @cached_property
    def _target(self) -> tuple[VmSnapshot, Record | None]:
        return target_of(self.disks, self.goal)

    @property
    def record(self) -> Record | None:
        """What was written down of the snapshot to go to."""
        return self._target[1]

    def renewed(self, phase: str) -> Lease:
        """Return the lease with a full term from now on, and the time for what is to come."""
        lease = renewed(self.lease, self.context.clock() - self.began)
        seconds = sum(disk.size for disk in self.disks.disks) // _SLOWEST if phase == ROLLING else 0
        return replace(lease, until=lease.until + seconds, notes={**lease.notes, "phase": phase})

    def still_stopped(self) -> Step:
        """Return the guard that nobody has the VM run again: the cluster is as it was read, or still does not know the VM."""
        vm, view = self.disks.vm, self.view
        return Step(self.cluster.assert_unchanged(view.cib) if view.is_defined(vm) else self.cluster.assert_absent([vm]))

    def to_goal(self) -> list[Command[None]]:
        """Return the commands that roll all disks back."""
        return rolling(self.context.storage, self.disks, self._target[0])

    def metadata_steps(self) -> list[Step]:
        """Return the steps that restore the metadata, where they are known."""
        now, vm = self.disks.metadata, self.disks.vm
        return metadata_to_restore(self.context.storage, vm, now, self.record.metadata) if self.record else []

    def write_files(self, *, anyway: bool = False) -> Steps[list[Step]]:
        """Give the domain XML of the snapshot to the hypervisors, if it is another one, or ``anyway``.

        Returns:
            What is left to the control host if it is a hypervisor.
        """
        vm, old = self.disks.vm, self.disks.metadata.get("xml", "")
        # metadata are changed only once they are written down
        new = self.record.metadata.get("xml", "") if self.record else old
        if not new or (new == old and not anyway) or not _reads_file(self.view, vm):
            return []
        write, file = self.context.hypervisor.write_file, config_file(vm)
        step = Step(write(file, new), undo=write(file, old) if old else None)
        hypervisors = [machine.name for machine in self.context.site.hypervisors]
        there = [host for host in hypervisors if is_on(self.view, host)]
        if away := [host for host in hypervisors if host not in there]:
            yield Say(
                f"{', '.join(away)} is not online, and keeps the domain XML of before the rollback: once it is back, "
                f"`vm-mgr enable -n {vm}` gives it that of the snapshot. Until then VM {vm} must not run there.",
                warning=True,
            )
        if others := [host for host in there if host != self.view.host]:
            yield ChangeEach(dict.fromkeys(others, (holding(self.cluster, self.lease), step)))
        return [step] if self.view.host in there else []

    def role_steps(self) -> list[Step]:
        """Return the steps that let the VM run again, if it did; they can be repeated, and nothing before them is undone any more."""
        vm, commands = self.disks.vm, []
        if self.role:
            # Pacemaker does not try again what has failed until it is told to forget
            commands = [self.cluster.cleanup(vm)] if self.view.cib.last_failure(vm) else []
            commands.append(self.cluster.set_meta(vm, "target-role", self.role))
        return [Step(command, commits=True, afterwards=self.finish) for command in commands]

    def ending(self, own: list[Step]) -> tuple[Step, ...]:
        """Return the steps of the last exec: from the first that is not ``own`` on, nothing is undone."""
        done = Step(self.cluster.renew_lease(self.renewed(DONE)), commits=True, afterwards=self.finish)
        drop = Step(self.cluster.drop_lease(self.lease), commits=True)
        return holding(self.cluster, self.lease), *own, done, *self.role_steps(), drop


def rolling(storage: StorageDriver, disks: Disks, snapshot: VmSnapshot) -> list[Command[None]]:
    """Return the commands that roll all disks back to a snapshot; one of the group takes a single command."""
    if snapshot.grouped:
        return [storage.rollback_group_snapshot(disks.vm, snapshot.name)]
    return [storage.rollback_snapshot(image, snapshot.name) for image in snapshot.images]


def _reads_file(view: View, vm: str) -> bool:
    """Whether the VM is started from its file on the hypervisors; SEAPATH's agent writes that itself."""
    primitive = view.cib.primitive(vm)
    own = view.cib.config_files().get(config_file(vm)) == vm
    return primitive is not None and own and primitive.get("provider") != "seapath"

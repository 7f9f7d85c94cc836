"""The VM that another one is to take the place of: what of it there is, what forbids it, and what is lost with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.model import NEW_PREFIX, OLD_PREFIX, Status, system_image
from vmmgr.operations.domain import uuid_of
from vmmgr.operations.fragment import Fragment
from vmmgr.operations.identity import macs_of
from vmmgr.operations.keeping import domain_uuid
from vmmgr.operations.layout import clash_problems, name_problems
from vmmgr.operations.lease import refuse_while_cloned
from vmmgr.operations.restoring import lasting
from vmmgr.operations.status import state_of
from vmmgr.operations.stopping import refuse_parts_of_others, refuse_unmanaged
from vmmgr.operations.survey import config_file
from vmmgr.operations.swap import is_image_of

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.disks import Disks
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.survey import Survey


def asked(context: Context, name: str) -> tuple[Command[Any], ...]:
    """Return what is to be read of a VM that may be replaced."""
    return context.storage.disks(name), context.storage.store_get(name)


@dataclass(frozen=True, slots=True)
class Old:
    """The VM that is to be replaced.

    Attributes:
        name: Its name, and the new one's.
        role: Started, Stopped or Disabled.
        disks: What the storage has of it.
        kept: What was put aside of it when it was disabled.
        services: The ids of the services in it.
    """

    name: str
    role: str
    disks: Disks
    kept: Fragment
    services: tuple[str, ...] = ()

    @classmethod
    def find(cls, view: View, name: str, more: tuple[Any, ...]) -> Old | None:
        """Return the VM of that name, if there is one and ``more`` has the values of ``asked``; None otherwise."""
        if not more or name not in view.vm_names:
            return None
        disks, put_aside = more
        resource = view.resource(name)
        wanted = Status.STOPPED if resource and resource.target_role.lower() == "stopped" else Status.STARTED
        role = wanted if view.is_defined(name) else Status.DISABLED
        kept = Fragment.from_text(put_aside, name)
        part = kept if role is Status.DISABLED else Fragment.of(view.cib, name)
        return cls(name, str(role), disks, kept, tuple(part.service_names))

    @property
    def uuid(self) -> str:
        """The UUID of its domain, in lower case; empty where that cannot be told."""
        return domain_uuid(self.disks.metadata)

    @property
    def identity(self) -> set[str]:
        """The UUID and the MAC addresses of its domain, in lower case, which may go over to the new one."""
        try:
            root = ET.fromstring(self.disks.metadata.get("xml", ""))  # noqa: S314 - expat since 2.4.1 limits entity expansion itself
        except (ET.ParseError, ValueError):
            return set()
        return {uuid_of(root), *macs_of(root)}

    @property
    def losses(self) -> list[str]:
        """What to say beforehand of what goes with it."""
        snapshots = sorted({snapshot.name for snapshot in self.disks.snapshots()})
        lost = {"snapshots": snapshots, "services": self.services}
        return [f"With the old VM {self.name} go its {what}: {', '.join(names)}." for what, names in lost.items() if names]

    @property
    def images(self) -> list[str]:
        """Its images, those that have its name."""
        return [disk.image for disk in self.disks.disks if is_image_of(self.name, disk.image)]

    @property
    def notes(self) -> dict[str, str]:
        """What a repair has to know of it."""
        return {"replaces": self.role, "old": " ".join(self.images)}

    def runs_on(self, view: View) -> tuple[str, ...]:
        """Return the nodes that it runs on."""
        resource = view.resource(self.name)
        return resource.nodes if resource else ()

    def problems(self, view: View, agent: str, new: tuple[str, ...]) -> list[str]:
        """Return why it cannot be replaced by a VM with these images."""
        name = self.name
        refuse_parts_of_others(view, name)
        refuse_unmanaged(view, name)
        refuse_while_cloned(view, name)
        problems = []
        if name not in view.groups or system_image(name) not in view.images:
            words = "; ".join(state_of(view, name).details)
            problems.append(f"VM {name} is {words}, so it could not be put back; remove it first.")
        elif agent != "seapath" and "xml" not in self.disks.metadata:
            problems.append(f"VM {name} has no metadata 'xml', so it could not be put back; remove it first.")
        if name in view.cib.ids() and view.resource(name) is None:
            problems.append(f"The cluster has a resource {name} already, which is no VM; choose another name.")
        if (user := view.cib.config_files().get(config_file(name))) not in {None, name}:
            problems.append(f"The resource {user} starts a VM from {config_file(name)}; choose another name.")
        if self.disks.children:
            clones = ", ".join(self.disks.children)
            problems.append(f"The clones {clones} still depend on the disks of VM {name}; wait until Ceph has flattened them.")
        if parents := sorted({disk.parent for disk in self.disks.disks if disk.parent}):
            problems.append(
                f"The disks of VM {name} still depend on {', '.join(parents)}; wait until Ceph has flattened them, or run `rbd flatten`."
            )
        names = {name, *self.images, *new}
        left = [item for item in sorted(view.images | view.groups) if item.startswith((OLD_PREFIX, NEW_PREFIX))]
        if left := [item for item in left if item.removeprefix(OLD_PREFIX).removeprefix(NEW_PREFIX) in names]:
            problems.append(f"Ceph has {', '.join(left)}, left of an earlier replacement; rename or remove them.")
        if self.disks.watchers and not self.runs_on(view):
            users = "; ".join(f"{image} by {', '.join(found)}" for image, found in self.disks.watchers.items())
            problems.append(f"The disks of VM {name} are in use ({users}); end that first.")
        return problems

    def constraints(self, cib: Cib) -> list[ET.Element]:
        """Return its constraints that are the new VM's as well."""
        fragment = self.kept if self.role == Status.DISABLED else Fragment.of(cib, self.name)
        own = set(self.services)
        return [item for item in lasting(fragment.constraints, self.disks.metadata) if not own & resources_in(item)]


def name_in_the_way(view: View, found: Survey, name: str, images: tuple[str, ...], old: Old | None) -> list[str]:
    """Return why no VM with these images can be made under that name, be it in the place of an old one."""
    return old.problems(view, found.agent, images) if old else name_problems(view, name)


def domain_in_the_way(view: View, found: Survey, name: str, domain_uuid: str, old: Old | None) -> list[str]:
    """Return which hypervisors have a domain of that name or UUID, other than the old VM's."""
    runs_on, own_uuid = (old.runs_on(view), old.uuid) if old else ((), "")
    return clash_problems(found, name, domain_uuid, runs_on=runs_on, own_uuid=own_uuid)

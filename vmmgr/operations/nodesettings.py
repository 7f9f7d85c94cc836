"""What makes a guest node of a VM: in the CIB, or in what is kept of a disabled VM; and with its image, as vm_manager keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker import edits
from vmmgr.drivers.pacemaker.guestnode import (
    ban,
    bans,
    guest_nodes,
    meta_set,
    not_kept_off,
    remote_attributes,
    remote_pairs,
)
from vmmgr.errors import RefusedError
from vmmgr.model import system_image
from vmmgr.operations.definition import REMOTE_KEYS
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.keeping import own_fragment
from vmmgr.operations.lease import holding, new_lease, taking
from vmmgr.operations.observation import if_there, observe
from vmmgr.operations.retrying import change_definition
from vmmgr.operations.steps import Role, Say, Step, change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps, Where


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What there is.

    Attributes:
        vm: The VM.
        view: The site as it was read.
        kept: What is kept of the VM while it is disabled.
        metadata: Of its image; empty where it has none.
    """

    vm: str
    view: View
    kept: Fragment
    metadata: Mapping[str, str]

    @property
    def enabled(self) -> bool:
        """Whether the CIB has the VM."""
        return self.view.is_defined(self.vm)

    @property
    def primitive(self) -> ET.Element | None:
        """Its resource, in the CIB or kept; None where only the metadata tell of it."""
        return self.view.cib.primitive(self.vm) if self.enabled else self.kept.primitive

    @property
    def attributes(self) -> dict[str, str]:
        """The meta attributes that make a guest node of it."""
        if self.primitive is None:
            return {name: self.metadata[key] for name, key in REMOTE_KEYS.items() if self.metadata.get(key)}
        return remote_attributes(self.primitive)

    @property
    def node(self) -> str:
        """Its name as a node; empty if it is none."""
        return self.attributes.get("remote-node", "")

    def metadata_steps(self, context: Context, attributes: Mapping[str, str]) -> list[Step]:
        """Return the steps that keep these attributes, and no others, with the image."""
        if not self.metadata:
            return []
        storage, image = context.storage, system_image(self.vm)
        old = {key: self.metadata[key] for key in REMOTE_KEYS.values() if key in self.metadata}
        new = {REMOTE_KEYS[name]: value for name, value in attributes.items()}
        if old == new:
            return []
        unset = Step(storage.unset_metadata(image, tuple(old)), undo=storage.set_metadata(image, old))
        put = Step(storage.set_metadata(image, new), undo=storage.unset_metadata(image, tuple(new)))
        return [step for step, keys in ((unset, old), (put, new)) if keys]


def look(context: Context, vm: str, *, beside: Mapping[Where, tuple[Command[Any], ...]] | None = None) -> Steps[NodeSettings]:
    """Read the site, and what there is of a VM as a guest node; ``beside`` as for ``observe``.

    Raises:
        RefusedError: Its resource is part of another one.
    """
    more = (context.storage.store_get(vm), if_there(context.storage.metadata(system_image(vm))))
    view = yield from observe(context, to_change=True, more=more, beside=beside)
    put_aside, metadata = view.more
    if view.cib.primitive(vm) is not None and not view.cib.is_top_level(vm):
        raise RefusedError(f"The resource of VM {vm} is part of a group, clone or bundle; take it out of there first.")
    return NodeSettings(vm, view, (yield from own_fragment(put_aside, vm, metadata)), metadata)


def settle(
    context: Context, now: NodeSettings, wanted: Mapping[str, str], verb: str, lease: Lease | None = None
) -> Steps[None]:
    """Give a VM these attributes and no others; nothing happens where that is so.

    It is marked as ``verb`` meanwhile, for the CIB and the image cannot be changed at the same moment; with a ``lease`` it is
    marked already, by the operation that this is a part of, and stays so.
    """
    vm, view, primitive = now.vm, now.view, now.primitive
    metadata = now.metadata_steps(context, wanted)
    unchanged = primitive is None or now.attributes == wanted
    if unchanged and not metadata:
        return
    cluster = context.cluster(view.host, view.programs)
    if lease is None:
        own = new_lease(context, view, vm, verb)
        guards, drop = taking(cluster, view, own), [Step(cluster.drop_lease(own), commits=True)]
    else:
        guards, drop = (holding(cluster, lease), Step(cluster.assert_unchanged(view.cib))), []
    if primitive is None or unchanged:
        yield from change(Role.CONTROL, *guards, *metadata, *drop)
        return
    text, ids = yield from _change_of(now, primitive, wanted)
    if not now.enabled:
        put, before = (context.storage.store_put(vm, item.to_text()) for item in (_edited(now.kept, text, ids), now.kept))
        yield from change(Role.CONTROL, *guards, *metadata, Step(put, undo=before), *drop)
        return
    finish = f"`vm-mgr repair -n {vm}` finishes it."
    decisive = Step(cluster.redefine(text, ids, ()), commits=True, afterwards=finish)
    # with the image before the cluster has it, and for as long as the cluster has it
    first, rest = (metadata, []) if wanted else ([], [replace(step, commits=True, afterwards=finish) for step in metadata])

    def made(cib: Cib) -> bool:
        there = cib.primitive(vm)
        return there is not None and remote_attributes(there) == wanted

    yield from change_definition(context, view, [*guards, *first], decisive, [*rest, *drop], made=made)


def node_name_problems(view: View, vm: str, node: str) -> list[str]:
    """Return why a VM cannot be a guest node of that name."""
    users = guest_nodes(view.cib)
    if users.get(node, vm) != vm:
        return [f"The guest node {node} is VM {users[node]}; choose another name."]
    if node in view.simulation.resources and node not in view.cib.ids() and node not in users:
        return [f"Pacemaker is still taking the former guest node {node} away; try again when it has."]
    machines = [item.name for item in view.simulation.nodes.values() if item.kind == "member"]
    if node in view.cib.ids() or node in machines or node in view.vm_names:
        return [
            f"The cluster has a node, resource or VM {node} already, and a guest node needs a name of its own; choose another."
        ]
    return []


def keeping_off(view: View, vm: str, node: str) -> Steps[list[ET.Element]]:
    """Return the constraints that keep other VMs off the guest node that a VM becomes; name other resources that may go there."""
    vms, others = not_kept_off(view.cib, node)
    if others:
        yield Say(
            f"Pacemaker may try {', '.join(others)} on the guest node {node} too; keep them off it with constraints.",
            warning=True,
        )
    return [ban(other, node) for other in vms if other != vm]


def _change_of(now: NodeSettings, primitive: ET.Element, wanted: Mapping[str, str]) -> Steps[tuple[str, list[str]]]:
    """Return the document that gives the resource its attributes, and other VMs what keeps them off; and the ids to delete."""
    ids = [pair.get("id", "") for pair in remote_pairs(primitive)]
    if not wanted:
        return document(None, ()), [*ids, *(bans(now.view.cib, now.node) if now.enabled else ())]
    node = wanted["remote-node"]
    chosen = meta_set(primitive)
    changed = ET.Element("primitive", id=now.vm)
    pairs = ET.SubElement(changed, "meta_attributes", id=chosen)
    for name, value in wanted.items():
        ET.SubElement(pairs, "nvpair", id=f"{chosen}-{name}", name=name, value=value)
    return document(changed, (yield from keeping_off(now.view, now.vm, node)) if now.enabled else ()), ids


def _edited(kept: Fragment, text: str, ids: list[str]) -> Fragment:
    """Do to what is kept of a disabled VM what would be done to the CIB."""
    root = ET.fromstring(document(kept.primitive, ()))  # noqa: S314 - our own
    edits.replaced(ids, text)(root)
    return replace(kept, primitive=root.find("configuration/resources/primitive"))

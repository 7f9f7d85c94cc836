"""Which key the remote nodes of a cluster share with its nodes, and what has to be done about it."""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.pacemaker.authkey import FALLBACK, FILE, hash_of
from vmmgr.drivers.pacemaker.guestnode import guest_nodes
from vmmgr.operations.steps import ChangeEach, Say, Step, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.drivers.pacemaker.authkey import Keys
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps, Where

# Bytes of a new key, as Pacemaker's documentation makes one.
_SIZE = 4096


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """The key to use.

    Attributes:
        sha256: Its hash; empty for one that is still to be made.
        source: A node to read it from; empty for one that is still to be made.
        own: Whether it is Pacemaker's own, and not Corosync's.
        lacking: The nodes that do not have it, each with the hash of the key that it has instead; empty for none.
        unsound: The nodes on which its owner, group or mode is wrong.
        problems: Why there is no such key.
    """

    sha256: str = ""
    source: str = ""
    own: bool = True
    lacking: Mapping[str, str] = field(default_factory=dict)
    unsound: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the nodes have all that they need."""
        return not (self.lacking or self.unsound or self.problems)


def key_questions(context: Context) -> dict[Where, tuple[Command[Any], ...]]:
    """Return what to ask every machine of the cluster."""
    return {machine.name: (context.authkey.inspect(),) for machine in context.site.machines}


def plan_key(cib: Cib, vm: str, keys: Mapping[str, Keys], silent: list[str]) -> KeyPlan:
    """Decide which key to use.

    Without a key of its own, Pacemaker uses Corosync's; where there are remote nodes already, that must stay so, for a new key
    would cut them off. Where there are none, nobody relies on the keys that the nodes have.

    Args:
        cib: The cluster's configuration.
        vm: The VM that becomes a guest node.
        keys: What the nodes have.
        silent: The nodes that did not say what they have.
    """
    own = {node: item.own for node, item in keys.items() if item.own}
    relied_on = _relied_on(cib, vm)
    if len(set(own.values())) > 1 and relied_on:
        groups = "; ".join(f"{node}: {sha256[:12]}" for node, sha256 in own.items())
        return KeyPlan(
            problems=(
                f"The nodes have different keys in {FILE} (SHA-256 {groups}), and there are remote nodes: give them one.",
            )
        )
    if own:
        source = next(iter(own))
        lacking = {node: item.own for node, item in keys.items() if item.own != own[source]}
        unsound = tuple(node for node, item in keys.items() if item.own == own[source] and not item.sound)
        return KeyPlan(own[source], source, lacking=lacking, unsound=unsound)
    if relied_on:
        return _corosync(keys)
    if silent:
        return KeyPlan(problems=(f"{', '.join(silent)} does not answer, and no node has a key yet: all must get the same.",))
    return KeyPlan(lacking=dict.fromkeys(keys, ""))


def _relied_on(cib: Cib, vm: str) -> bool:
    """Whether there are remote nodes besides the VM, which use the key that there is now."""
    remote = cib.root.iterfind("configuration/resources//primitive[@provider='pacemaker'][@type='remote']")
    return any(True for _ in remote) or any(resource != vm for resource in guest_nodes(cib).values())


def _corosync(keys: Mapping[str, Keys]) -> KeyPlan:
    hashes = {item.corosync for item in keys.values()}
    if len(hashes) != 1 or "" in hashes:
        return KeyPlan(
            problems=(f"There are remote nodes, but the nodes have neither {FILE} nor the same {FALLBACK}; give them one.",)
        )
    return KeyPlan(hashes.pop(), next(iter(keys)), own=False)


def settle_key(context: Context, plan: KeyPlan) -> Steps[str]:
    """Give all nodes the same key, with the right owner and mode; return it as base64."""
    authkey = context.authkey
    if plan.source:
        key = yield from read(plan.source, authkey.read(own=plan.own))
    else:
        key = b64encode(secrets.token_bytes(_SIZE)).decode()
        context.generated[hash_of(key)] = "hash of the new key"
    steps = {node: (Step(authkey.write(key)),) for node in plan.unsound}
    for node, former in plan.lacking.items():
        steps[node] = ((yield from replacing(context, node, former, key)),)
    if steps:
        yield ChangeEach(steps)
        yield Say(f"{', '.join(steps)} {'got' if plan.lacking else 'has'} the key {FILE}, for root and haclient only.")
    return key


def replacing(context: Context, host: str, former: str, key: str) -> Steps[Step]:
    """Return the step that gives a machine the key, in the place of one with the hash ``former`` if there is any."""
    authkey = context.authkey
    if not former:
        return Step(authkey.write(key), undo=authkey.remove(hash_of(key)))
    old = yield from read(host, authkey.read(own=True))
    return Step(authkey.write(key, former=former), undo=authkey.write(old, former=hash_of(key)))

"""The part of a Pacemaker cluster driver that is no tool's own; ``crmsh`` and ``pcs`` add the templates of their changes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.command import Command, succeeded
from vmmgr.drivers.base import ClusterDriver
from vmmgr.drivers.pacemaker import edits
from vmmgr.drivers.pacemaker.cib import Cib, parse_cib
from vmmgr.drivers.pacemaker.lines import counted, lines_taken
from vmmgr.drivers.pacemaker.simulation import parse_simulation
from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.model import Lease, Simulation
    from vmmgr.remote.batch import Result

# No white space, quote, bracket or leading hyphen; the schema allows less.
_ID = re.compile(r"[^\s'\"<>&\[\]-][^\s'\"<>&\[\]]*")
# EX_TEMPFAIL of sysexits.h, which our own guards end with, and cibadmin's answer to creating what exists (CRM_EX_EXISTS).
_CONFLICT, _EXISTS = 75, 108
# cibadmin's answer where nothing matches an XPath (CRM_EX_NOSUCH).
_NO_SUCH = 105
# crm and pcs are Python programs that read the whole CIB and may wait for a slow node: seconds for one change.
_CHANGE_TIMEOUT = 60.0

# Looks at the version of the CIB before there is no news; about 0.1 s each.
_LOOKS = 20


class ConflictError(VmMgrError):
    """Another administrator changed the configuration between the reading and the change; nothing was changed."""


class PacemakerDriver(ClusterDriver):
    """Reads with Pacemaker's own tools, and marks operations in progress in the CIB."""

    templates = ("define", "delete", "redefine")

    def cib(self) -> Command[Cib]:
        return Command(self.renderer.argv("pacemaker/cib"), parse_cib)

    def simulation(self) -> Command[Simulation]:
        return Command(self.renderer.argv("pacemaker/simulate"), parse_simulation)

    def news(self, cib: Cib, pause: float) -> Command[None]:
        admin_epoch, epoch, updates = cib.version
        argv = self.renderer.argv(
            "pacemaker/news", pause=f"{pause:.2f}", admin_epoch=admin_epoch, epoch=epoch, num_updates=updates, looks=_LOOKS
        )
        return Command(argv, succeeded, waits=True)

    def foresee(self, cib: Cib) -> Command[Simulation]:
        document = ET.tostring(cib.root, encoding="unicode")
        return Command(self.renderer.argv("pacemaker/foresee"), parse_simulation, stdin=document)

    def assert_unchanged(self, cib: Cib) -> Command[None]:
        admin_epoch, epoch = cib.epoch
        return self._guard("assert_unchanged", admin_epoch=admin_epoch, epoch=epoch)

    def assert_absent(self, ids: Sequence[str]) -> Command[None]:
        return self._guard("assert_absent", ids=_sound(ids))

    def assert_lease(self, lease: Lease) -> Command[None]:
        return self._guard("assert_lease", vm=lease.vm, token=lease.token)

    def take_lease(self, lease: Lease) -> Command[None]:
        argv, document = self.renderer.argv("pacemaker/lease_take"), self._lease_document(lease)
        return Command(argv, _no_conflict, document, changes=True, edit=edits.lease_taken(document))

    def replace_lease(self, old: Lease, new: Lease) -> Command[None]:
        argv = self.renderer.argv("pacemaker/lease_replace", vm=old.vm, token=old.token)
        document = self._lease_document(new)
        return Command(argv, _replaced, document, changes=True, edit=edits.lease_replaced(document))

    def renew_lease(self, lease: Lease) -> Command[None]:
        argv = self.renderer.argv("pacemaker/lease_renew", vm=lease.vm, token=lease.token)
        document = self._lease_document(lease)
        return Command(argv, succeeded, document, changes=True, edit=edits.lease_replaced(document))

    def drop_lease(self, lease: Lease) -> Command[None]:
        argv = self.renderer.argv("pacemaker/lease_drop", vm=lease.vm, token=lease.token)
        return Command(argv, succeeded, changes=True, edit=edits.deleted([f"vm-mgr-{lease.vm}"]))

    def define(self, document: str) -> Command[None]:
        return self._change(f"{self.folder}/define", edits.added(document), document)

    def redefine(self, document: str, ids: Sequence[str], lines: Sequence[Sequence[str]]) -> Command[None]:
        edit, parse = edits.replaced(ids, document), lines_taken(lines)
        argv = self.renderer.argv(f"{self.folder}/redefine", mode="change", ids=_sound(ids), words=counted(lines))
        return Command(argv, parse, document, changes=True, timeout=_CHANGE_TIMEOUT, edit=edit)

    def rehearse(self, document: str, ids: Sequence[str], lines: Sequence[Sequence[str]]) -> Command[None]:
        argv = self.renderer.argv(f"{self.folder}/redefine", mode="rehearsal", ids=ids, words=counted(lines))
        return Command(argv, lines_taken(lines), document, timeout=_CHANGE_TIMEOUT)

    def delete(self, ids: Sequence[str]) -> Command[None]:
        return self._change(f"{self.folder}/delete", edits.deleted(ids), ids=_sound(ids))

    def set_meta(self, vm: str, key: str, value: str) -> Command[None]:
        return self._change("pacemaker/set_meta", edits.meta_set(vm, key, value), vm=vm, key=key, value=value)

    def cleanup(self, vm: str) -> Command[None]:
        return self._change("pacemaker/cleanup", edits.forgotten(vm), vm=vm)

    def _change(
        self, template: str, edit: Callable[[ET.Element], None], document: str | None = None, **values: Any
    ) -> Command[None]:
        argv = self.renderer.argv(template, **values)
        return Command(argv, succeeded, document, changes=True, timeout=_CHANGE_TIMEOUT, edit=edit)

    def _guard(self, template: str, **values: Any) -> Command[None]:
        return Command(self.renderer.argv(f"pacemaker/{template}", **values), _no_conflict)

    def _lease_document(self, lease: Lease) -> str:
        value: dict[str, Any] = {"verb": lease.verb, "who": lease.who, "since": lease.since, "until": lease.until}
        if lease.notes:
            value["notes"] = dict(lease.notes)
        return self.renderer.xml("pacemaker/lease", vm=lease.vm, token=lease.token, value=json.dumps(value))


def _sound(ids: Sequence[str]) -> Sequence[str]:
    """Return the ids; they come to stand in an XPath, and after a word that takes options.

    Raises:
        VmMgrError: One is not what the schema of the CIB allows; without a schema it takes anything.
    """
    for name in ids:
        if not _ID.fullmatch(name):
            raise VmMgrError(f"{name!r} in the cluster's configuration is no id that can be handled safely; delete it by hand.")
    return ids


def _replaced(result: Result) -> None:
    """Accept success.

    Raises:
        ConflictError: What was to be replaced is not there.
        CommandFailedError: Anything else went wrong.
    """
    if result.exit_code == _NO_SUCH:
        raise ConflictError(f"On {result.host}, the mark of the operation was taken away or replaced meanwhile.")
    succeeded(result)


def _no_conflict(result: Result) -> None:
    """Accept success.

    Raises:
        ConflictError: The guard found a configuration other than the expected one.
        CommandFailedError: Anything else went wrong.
    """
    if result.exit_code in (_CONFLICT, _EXISTS):
        said = result.stderr.decode(errors="replace").strip()
        raise ConflictError(f"On {result.host}, the cluster's configuration changed meanwhile. {said}".strip())
    succeeded(result)

"""What a driver for the cluster offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from vmmgr.drivers.base.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmmgr.command import Command
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.model import Lease, Simulation


class ClusterDriver(Driver):
    """Changes the cluster's configuration with the site's tool. ``drivers.pacemaker`` implements what is no tool's own."""

    @abstractmethod
    def cib(self) -> Command[Cib]:
        """Read the configuration and the status."""

    @abstractmethod
    def simulation(self) -> Command[Simulation]:
        """Read what is running where, and what Pacemaker intends."""

    @abstractmethod
    def news(self, cib: Cib, pause: float) -> Command[None]:
        """Wait until the configuration or the status is another than the given one, ``pause`` seconds at least and some at most."""

    @abstractmethod
    def foresee(self, cib: Cib) -> Command[Simulation]:
        """Read what Pacemaker would do if this were the CIB."""

    @abstractmethod
    def assert_unchanged(self, cib: Cib) -> Command[None]:
        """Fail with ``ConflictError`` when the configuration is no longer the given one."""

    @abstractmethod
    def assert_absent(self, ids: Sequence[str]) -> Command[None]:
        """Fail with ``ConflictError`` when the configuration has an element of one of these ids."""

    @abstractmethod
    def assert_lease(self, lease: Lease) -> Command[None]:
        """Fail with ``ConflictError`` when the lease is no longer there."""

    @abstractmethod
    def take_lease(self, lease: Lease) -> Command[None]:
        """Put the lease into the CIB; fail with ``ConflictError`` when its VM has one already."""

    @abstractmethod
    def replace_lease(self, old: Lease, new: Lease) -> Command[None]:
        """Put a lease in the place of another one of its VM; fail with ``ConflictError`` when that one is no longer there."""

    @abstractmethod
    def renew_lease(self, lease: Lease) -> Command[None]:
        """Give the lease its new ``until``; fail when it is no longer there."""

    @abstractmethod
    def drop_lease(self, lease: Lease) -> Command[None]:
        """Take the lease out of the CIB, if it is there."""

    @abstractmethod
    def define(self, document: str) -> Command[None]:
        """Add a resource with its constraints, in one CIB change; ``document`` is a ``<cib>`` with nothing else in it."""

    @abstractmethod
    def redefine(self, document: str, ids: Sequence[str], lines: Sequence[Sequence[str]]) -> Command[None]:
        """Delete the elements of these ids, merge the document, run further commands of the site's tool, in one CIB change.

        An element of the document that is there already, by its id, is changed: it gets what the document says of it besides.
        Each line has the words of one command, as they follow ``crm configure`` or ``pcs``; fail with ``LineRefusedError``, and
        without any change, when the tool refuses one.
        """

    @abstractmethod
    def rehearse(self, document: str, ids: Sequence[str], lines: Sequence[Sequence[str]]) -> Command[None]:
        """Fail as ``redefine`` would, and change nothing."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> Command[None]:
        """Delete constraints and a resource that is stopped, in this order, in one CIB change."""

    @abstractmethod
    def set_meta(self, vm: str, key: str, value: str) -> Command[None]:
        """Set a meta attribute of a resource, in one CIB change."""

    @abstractmethod
    def cleanup(self, vm: str) -> Command[None]:
        """Make Pacemaker forget the failures of this resource, and of no other."""

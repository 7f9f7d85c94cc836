"""What an operation works with: the site, and drivers for its tools."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from vmmgr.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.drivers.base import ClusterDriver, Driver, GuestDriver, HypervisorDriver, StorageDriver
    from vmmgr.drivers.pacemaker.authkey import Authkey
    from vmmgr.drivers.pacemaker.driver import PacemakerDriver
    from vmmgr.hookspecs import DriverSpec
    from vmmgr.rendering import Renderer
    from vmmgr.site.model import Site


@dataclass
class Context:
    """The site and its drivers.

    Attributes:
        site: What the inventory and the configuration say.
        who: The one who works here, ``user@workstation``; leases show it to others.
        clock: Seconds that only ever grow; tests bring their own.
        approach: Begins to connect to the control host and returns at once, so that it answers when the first commands are made.
        generated: The values that were made up for this operation and would be others the next time, each with its kind.
    """

    site: Site
    who: str
    clock: Callable[[], float] = field(default=time.monotonic)
    approach: Callable[[], None] = field(default=lambda: None)
    generated: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[str, str], Driver] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def renderer(self) -> Renderer:
        """The templates of the site, of plugins and of vm-mgr, in this order."""
        from vmmgr.hooks import template_folders
        from vmmgr.rendering import Renderer

        own = [self.site.templates] if self.site.templates else []
        return Renderer([*own, *template_folders()])

    @cached_property
    def reader(self) -> PacemakerDriver:
        """Reads the cluster, with whatever tool it is changed."""
        from vmmgr.drivers.pacemaker.driver import PacemakerDriver

        return PacemakerDriver(self.renderer)

    @cached_property
    def storage(self) -> StorageDriver:
        """The storage driver."""
        from vmmgr.plugins import load_class, usable_driver

        make = cast("type[StorageDriver]", load_class(usable_driver("storage", "rbd")))
        return make(self.renderer, self.site.pool)

    @cached_property
    def hypervisor(self) -> HypervisorDriver:
        """The hypervisor driver."""
        return cast("HypervisorDriver", self._make("hypervisor", "libvirt"))

    @cached_property
    def authkey(self) -> Authkey:
        """Handles the key of Pacemaker's remote nodes."""
        from vmmgr.drivers.pacemaker.authkey import Authkey

        return Authkey(self.renderer)

    @cached_property
    def guest_programs(self) -> dict[str, str]:
        """The guest drivers, each with the program that it needs in a guest, in the order of preference."""
        from vmmgr.plugins import find_drivers

        specs = [offer.spec for offer in find_drivers() if offer.spec and not offer.problem]
        return {spec.name: spec.program for spec in specs if spec.kind == "guest"}

    def guest(self, name: str) -> GuestDriver:
        """Return a guest driver."""
        return cast("GuestDriver", self._make("guest", name))

    @cached_property
    def cluster_programs(self) -> dict[str, str]:
        """The cluster drivers that can be used here, each with the program that it needs on the nodes."""
        from vmmgr.plugins import find_drivers, usable_driver

        if self.site.cluster_driver != "auto":
            spec = usable_driver("cluster", self.site.cluster_driver)
            return {spec.name: spec.program}
        specs: list[DriverSpec] = [offer.spec for offer in find_drivers() if offer.spec and not offer.problem]
        return {spec.name: spec.program for spec in specs if spec.kind == "cluster"}

    def cluster(self, host: str, programs: frozenset[str]) -> ClusterDriver:
        """Return the cluster driver for a host that has these programs.

        Raises:
            RefusedError: The host has none that fits.
        """
        for name, program in self.cluster_programs.items():
            if program in programs:
                return cast("ClusterDriver", self._make("cluster", name))
        wanted = " or ".join(self.cluster_programs.values())
        raise RefusedError(f"{host} has no {wanted}, so its cluster cannot be changed from here; install it there.")

    def _make(self, kind: str, name: str) -> Driver:
        from vmmgr.plugins import load_class, usable_driver

        if (kind, name) not in self._made:
            make = load_class(usable_driver(kind, name))
            make.check_templates(self.renderer)
            self._made[kind, name] = make(self.renderer)
        return self._made[kind, name]

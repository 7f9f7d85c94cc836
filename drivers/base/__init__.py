"""What a driver of each kind offers. A driver builds commands and reads their answers; it never runs anything.

Every method returns a ``Command``: its ``argv`` comes from a template in the driver's own folder, so that a site can override
it, and its ``parse`` turns the answer into the value named in the brackets, or raises ``CommandFailedError``.
"""

from __future__ import annotations

from vmmgr.drivers.base.cluster import ClusterDriver
from vmmgr.drivers.base.driver import Driver
from vmmgr.drivers.base.guest import GuestDriver
from vmmgr.drivers.base.hypervisor import HypervisorDriver
from vmmgr.drivers.base.storage import StorageDriver

__all__ = ["ClusterDriver", "Driver", "GuestDriver", "HypervisorDriver", "StorageDriver"]

"""Makes a site with many VMs out of one, cheaply: half of them Stopped, with all that Pacemaker keeps of those, half Disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.measuring import Bench

# Groups and images of 4 MiB; through Ceph's own binding, for a process each would take minutes.
_DISKS = """
import sys, rados, rbd
with rados.Rados(conffile="/etc/ceph/ceph.conf") as cluster, cluster.open_ioctx("rbd") as pool:
    for name in sys.argv[1:]:
        rbd.RBD().create(pool, f"system_{name}", 4 << 20)
        rbd.RBD().group_create(pool, name)
        rbd.Group(pool, name).add_image(pool, f"system_{name}")
"""
# The domain XML of a VM under other names, on a hypervisor.
_FILES = """
vm=$1; shift
for name; do sed "s/$vm/$name/g; /<uuid>/d" "/etc/pacemaker/$vm.xml" > "/etc/pacemaker/$name.xml"; done
"""
# Its resource and its constraint under other names, into the CIB in one change.
_RESOURCES = """
import re, subprocess, sys
vm, *names = sys.argv[1:]
def query(xpath):
    return subprocess.run(["cibadmin", "--query", "--xpath", xpath], check=True, capture_output=True, text=True).stdout
resource, constraint = query(f"//primitive[@id='{vm}']"), query(f"//rsc_location[@rsc='{vm}']")
def copies(text):
    return "".join(re.sub(rf"\\b{vm}\\b", name, text) for name in names)
cib = f"<configuration><resources>{copies(resource)}</resources><constraints>{copies(constraint)}</constraints></configuration>"
subprocess.run(["cibadmin", "--modify", "--allow-create", "--scope=configuration", "--xml-pipe"], input=cib, check=True, text=True)
subprocess.run(["crm_resource", "--wait", "--timeout=900"], check=True)
"""


def make(bench: Bench, vm: str, count: int) -> str:
    """Make ``count`` VMs like ``vm``, which is Stopped, and return the words for what they are."""
    stopped = [f"vm{number:03}" for number in range(count // 2)]
    disabled = [f"vm{number:03}" for number in range(count // 2, count)]
    first = bench.lab.hypervisors[0]
    for host in bench.lab.hypervisors:
        bench.lab.on(host, "sh", "-c", _FILES, "sh", vm, *stopped)
    for start in range(0, count, 25):
        bench.lab.on(first, "python3", "-c", _DISKS, *(stopped + disabled)[start : start + 25])
    for start in range(0, len(stopped), 10):  # each load has to end within the time limit of the call
        bench.lab.on(first, "python3", "-c", _RESOURCES, vm, *stopped[start : start + 10])
    return f"{len(stopped) + 1} Stopped, each probed on every hypervisor, and {len(disabled)} Disabled"

"""Ceph: a monitor and a manager on every host, an OSD on every hypervisor, and the pool ``rbd``.

As in SEAPATH: one copy per hypervisor, one is enough to go on; the admin keyring on every host; ``client.libvirt`` for
QEMU. Time limits are lowered so that a dead host is noticed in seconds.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import time
from typing import TYPE_CHECKING

from .host import command, execute, execute_script
from .plan import LabError, stable_uuid
from .report import at_once, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from .overlay import Overlay
    from .plan import Host, Lab

POOL = "rbd"
OSD_BYTES = 12 << 30  # of a sparse file
CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"},
    "client.libvirt": {"mon": "profile rbd", "osd": "profile rbd", "mgr": "profile rbd"},
}
MANAGER_CAPS = {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"}


def new_secret(now: float | None = None) -> str:
    """Return a new cephx secret: key type 1 (AES), the time it was made, and sixteen random bytes."""
    made = time.time() if now is None else now
    return base64.b64encode(struct.pack("<HIIH", 1, int(made), 0, 16) + os.urandom(16)).decode()


def keyring(secrets: dict[str, str], caps: dict[str, dict[str, str]]) -> str:
    """Return a keyring file with the entities of ``secrets`` and what each may do."""
    lines = []
    for entity, secret in secrets.items():
        lines.append(f"[{entity}]\n\tkey = {secret}\n")
        lines.extend(f'\tcaps {service} = "{cap}"\n' for service, cap in caps[entity].items())
    return "".join(lines)


def configuration(lab: Lab) -> str:
    """Return ceph.conf."""
    return f"""\
[global]
fsid = {fsid(lab)}
mon_initial_members = {",".join(host.name for host in lab.hosts)}
mon_host = {",".join(lab.address(host) for host in lab.hosts)}
public_network = {lab.net}.0/24
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = {len(lab.hypervisors)}
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 16
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 1
# a dead host is noticed in seconds, not in half a minute
osd_heartbeat_interval = 1
osd_heartbeat_grace = 5
mon_osd_min_down_reporters = 1
mon_osd_adjust_heartbeat_grace = false
mon_osd_laggy_halflife = 1
osd_client_watch_timeout = 8
mon_lease = 2
mon_warn_on_insecure_global_id_reclaim_allowed = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_allow_pool_delete = true
[mon]
mon_cluster_log_to_file = false
[osd]
osd_objectstore = bluestore
bluestore_block_size = {OSD_BYTES}
bluestore_block_db_size = 0
bluestore_block_wal_size = 0
osd_memory_target = 939524096
bdev_async_discard = false
osd_mclock_skip_benchmark = true
osd_op_queue = wpq
"""


def fsid(lab: Lab) -> str:
    """Return the id of the lab's Ceph cluster."""
    return stable_uuid(lab.name, "ceph")


def libvirt_secret_uuid(lab: Lab) -> str:
    """Return the UUID of the libvirt secret that holds client.libvirt's key, the same on every hypervisor."""
    return stable_uuid(lab.name, "libvirt-secret")


def new_secrets(lab: Lab) -> dict[str, str]:
    """Return a secret for every entity of the cluster."""
    return {entity: new_secret() for entity in (*CAPS, *(f"mgr.{host.name}" for host in lab.hosts))}


def prepare(lab: Lab, host: Host, overlay: Overlay, secrets: dict[str, str]) -> None:
    """Write one host's configuration, keyrings and empty stores, and a hypervisor's libvirt secret."""
    caps = CAPS | {f"mgr.{peer.name}": MANAGER_CAPS for peer in lab.hosts}
    overlay.write("etc/ceph/ceph.conf", configuration(lab))
    for name, mode in (("admin", 0o600), ("libvirt", 0o644)):
        entity = f"client.{name}"
        overlay.write(f"etc/ceph/ceph.{entity}.keyring", keyring({entity: secrets[entity]}, caps), mode=mode)

    store = lab.host_folder(host) / "ceph"
    for name in ("mon", f"mgr/ceph-{host.name}", "osd", "crash/posted", "tmp"):
        (store / name).mkdir(parents=True)
    manager = f"mgr.{host.name}"
    (store / f"mgr/ceph-{host.name}/keyring").write_text(keyring({manager: secrets[manager]}, caps))
    (store / "tmp/mon.keyring").write_text(keyring(secrets, caps))
    owner = overlay.ids("ceph:ceph")
    for path in (store, *store.rglob("*")):
        shutil.chown(path, *owner)

    if host.role == "hypervisor":
        uuid = libvirt_secret_uuid(lab)
        overlay.folder("etc/libvirt/secrets", mode=0o700)
        usage = "<usage type='ceph'><name>client.libvirt secret</name></usage>"
        document = f"<secret ephemeral='no' private='no'>\n  <uuid>{uuid}</uuid>\n  {usage}\n</secret>\n"
        overlay.write(f"etc/libvirt/secrets/{uuid}.xml", document, mode=0o600)
        overlay.write(f"etc/libvirt/secrets/{uuid}.base64", secrets["client.libvirt"], mode=0o600)


def start_monitors(lab: Lab) -> None:
    """Make and start the monitors and managers, and wait for all of them to agree."""
    addresses = [f"{host.name}={lab.address(host)}" for host in lab.hosts]
    at_once(lambda host: execute_script(lab, host, "ceph-mon.sh", host.name, fsid(lab), *addresses), lab.hosts)
    wait_until(lambda: _quorum(lab) == len(lab.hosts), step="ceph: quorum of the monitors", seconds=60, log=_log(lab))


def start_osds(lab: Lab) -> None:
    """Make and start the OSDs, and the pool on them."""
    numbered = list(enumerate(lab.hypervisors))
    at_once(lambda pair: execute_script(lab, pair[1], "ceph-osd.sh", str(pair[0]), timeout=120), numbered)
    first = lab.hypervisors[0]
    make_pool = f"ceph osd pool create {POOL} 16 16; rbd pool init {POOL}"
    execute(lab, first, ["sh", "-ec", make_pool], step=f"ceph: pool {POOL}", timeout=90)
    # clones of format 2, as of a cluster that has only ever had clients of its own age
    execute(lab, first, ["ceph", "osd", "set-require-min-compat-client", "mimic"], step="ceph: clone format 2")


def health(lab: Lab) -> str:
    """Return Ceph's own word on its health."""
    return execute(lab, lab.hosts[0], ["ceph", "health"], step="ceph health").strip()


def _quorum(lab: Lab) -> int:
    """Return how many monitors agree; 0 while none answers."""
    try:
        asked = command(lab, lab.hosts[0], ["ceph", "--connect-timeout", "3", "quorum_status", "-f", "json"])
        return len(json.loads(run(asked, step="ceph quorum_status", timeout=10))["quorum_names"])
    except LabError:
        return 0


def _log(lab: Lab) -> Path:
    """Return the log of the host that is asked."""
    return lab.log(f"{lab.hosts[0].name}.setup")

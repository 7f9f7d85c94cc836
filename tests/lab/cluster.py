"""Corosync and Pacemaker."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from .host import command, execute
from .plan import LabError
from .report import at_once, run, wait_until

if TYPE_CHECKING:
    from .overlay import Overlay
    from .plan import Lab


def corosync_conf(lab: Lab) -> str:
    """Return corosync.conf; a silent host is given up after 1.5 s."""
    nodes = "".join(
        f"  node {{\n    name: {host.name}\n    nodeid: {number}\n    ring0_addr: {lab.address(host)}\n  }}\n"
        for number, host in enumerate(lab.hosts, start=1)
    )
    return f"""\
totem {{
  version: 2
  cluster_name: {lab.name}
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
  token: 1500
}}
quorum {{
  provider: corosync_votequorum
}}
logging {{
  to_logfile: no
  to_syslog: yes
  timestamp: on
}}
nodelist {{
{nodes}}}
"""


def new_authkey() -> bytes:
    """Return a new key for Corosync. There is none for Pacemaker Remote, as on a SEAPATH host."""
    return os.urandom(256)


# as SEAPATH's: a host that shuts down stops or moves its VMs while libvirt is there, and has two minutes for that
PACEMAKER_SERVICE = "[Unit]\nAfter=libvirtd.service\n[Service]\nTimeoutStopSec=2min\n"


def prepare(lab: Lab, overlay: Overlay, authkey: bytes) -> None:
    """Write one host's configuration and key."""
    overlay.write("etc/systemd/system/pacemaker.service.d/override.conf", PACEMAKER_SERVICE)
    overlay.write("etc/corosync/corosync.conf", corosync_conf(lab))
    overlay.write("etc/corosync/authkey", authkey, mode=0o400)


def start(lab: Lab) -> None:
    """Start the cluster on every host and for every boot to come; does not wait for it."""
    units = "corosync pacemaker" + (" pcsd" if lab.options.tools != "crmsh" else "")
    script = f"systemctl enable -q {units}; systemctl start --no-block {units}"
    at_once(lambda host: execute(lab, host, ["sh", "-ec", script], step="cluster start"), lab.hosts)


def wait_online(lab: Lab, seconds: float = 90) -> None:
    """Wait until Pacemaker has every host online.

    Raises:
        LabError: not in that time.
    """
    log = lab.log(f"{lab.hosts[0].name}.setup")
    wait_until(lambda: online(lab) == len(lab.hosts), step="pacemaker: all hosts online", seconds=seconds, log=log)


def online(lab: Lab) -> int:
    """Return how many hosts Pacemaker has online, as seen from the first one; 0 while it does not answer."""
    try:
        asked = command(lab, lab.hosts[0], ["crm_mon", "-1", "--output-as=xml"])
        nodes = ET.fromstring(run(asked, step="crm_mon", timeout=10)).findall("nodes/node")
    except LabError:
        return 0
    return sum(node.get("online") == "true" for node in nodes)


def change(lab: Lab, document: str, step: str) -> None:
    """Merge a document into the CIB's configuration, in one change."""
    words = ["cibadmin", "--modify", "--allow-create", "--scope", "configuration", "--xml-pipe"]
    execute(lab, lab.hosts[0], words, step=step, stdin=document)


def properties(lab: Lab) -> str:
    """Return the cluster's properties as a part of the CIB."""
    values = {
        "stonith-enabled": str(lab.options.fencing).lower(),
        "no-quorum-policy": "stop",
        "cluster-delay": "20s",
    }
    pairs = "".join(f"<nvpair id='cib-bootstrap-options-{n}' name='{n}' value='{v}'/>" for n, v in values.items())
    return f"<crm_config><cluster_property_set id='cib-bootstrap-options'>{pairs}</cluster_property_set></crm_config>"


def defaults() -> str:
    """Return the defaults of resources as a part of the CIB: a VM stays where it is when its former host comes back."""
    pair = "<nvpair id='rsc-options-resource-stickiness' name='resource-stickiness' value='1'/>"
    return f"<rsc_defaults><meta_attributes id='rsc-options'>{pair}</meta_attributes></rsc_defaults>"

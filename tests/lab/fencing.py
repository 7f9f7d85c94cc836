"""Fencing: one simulated BMC per host (OpenIPMI's ipmi_sim), which Pacemaker reaches with fence_ipmilan over the network.

The BMC's power commands call ``lab bmc-chassis``, which works the host's real power switch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import cluster, host
from .build import base_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import Host, Lab

USER, PASSWORD = "admin", "lab"
PORT = 6200  # plus the host's last byte, on the lab's gateway
# A real server takes minutes from power to Pacemaker; a host of the lab would be back before its resources are elsewhere.
FIRMWARE_SECONDS = 10
EMULATION = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"


def lan_conf(lab: Lab, node: Host) -> str:
    """Return ipmi_sim's configuration of one BMC."""
    script = Path(__file__).with_name("lab")
    kinds = "none md2 md5 straight"
    auths = "".join(f"    allowed_auths_{level} {kinds}\n" for level in ("callback", "user", "operator", "admin"))
    return f"""\
name "{node.name}"
set_working_mc 0x20
  startlan 1
    addr {lab.gateway} {PORT + node.octet}
    priv_limit admin
{auths}    guid a123456789abcdefa123456789{node.octet:06d}
  endlan
  chassis_control "{sys.executable} -IS {script} bmc-chassis --name {lab.name} {node.name}"
  user 1 true "" "none" user 10 {kinds}
  user 2 true "{USER}" "{PASSWORD}" admin 10 {kinds}
"""


def start_bmcs(lab: Lab) -> None:
    """Start every host's BMC."""
    for node in lab.hosts:
        folder = lab.folder / "bmc" / node.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lan.conf").write_text(lan_conf(lab, node))
        (folder / "emulation").write_text(EMULATION)
        with lab.log(f"bmc-{node.name}").open("ab") as log:
            subprocess.Popen(
                ["ipmi_sim", "-c", folder / "lan.conf", "-f", folder / "emulation", "-s", folder / "state", "-n"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={"PATH": os.environ["PATH"], "VMMGR_LAB_DIR": str(base_folder())},
            )  # fmt: skip


def resources(lab: Lab) -> str:
    """Return the fence devices and their places, never on the host that they fence, as parts of the CIB."""
    devices = places = ""
    for node in lab.hosts:
        name = f"fence-{node.name}"
        values = {
            "ip": lab.gateway, "ipport": str(PORT + node.octet), "username": USER, "password": PASSWORD,
            "pcmk_host_list": node.name,
        }  # fmt: skip
        pairs = "".join(f"<nvpair id='{name}-{n}' name='{n}' value='{v}'/>" for n, v in values.items())
        devices += (
            f"<primitive id='{name}' class='stonith' type='fence_ipmilan'>"
            f"<instance_attributes id='{name}-parameters'>{pairs}</instance_attributes>"
            f"<operations><op id='{name}-monitor' name='monitor' interval='60s'/></operations></primitive>"
        )
        places += f"<rsc_location id='{name}-place' rsc='{name}' node='{node.name}' score='-INFINITY'/>"
    return f"<resources>{devices}</resources><constraints>{places}</constraints>"


def configure(lab: Lab) -> None:
    """Set the cluster's properties and defaults, and with fencing its devices, in one change of the CIB."""
    parts = cluster.properties(lab) + (resources(lab) if lab.options.fencing else "") + cluster.defaults()
    cluster.change(lab, f"<configuration>{parts}</configuration>", "cluster properties and fencing")


def chassis_requests(words: Sequence[str]) -> list[tuple[str, str, str]]:
    """Read what ipmi_sim asks its chassis program: ``[MC] get power`` or ``[MC] set power 1 reset 1``.

    Returns:
        (get or set, item, value) per item asked, the value empty for get.
    """
    rest = list(words)
    if rest and rest[0] not in ("get", "set"):
        rest.pop(0)
    verb = rest.pop(0)
    if verb == "get":
        return [("get", item, "") for item in rest]
    return [("set", item, value) for item, value in zip(rest[::2], rest[1::2], strict=True)]


def chassis(lab: Lab, node: Host, words: Sequence[str]) -> None:
    """Do what a BMC asks and print the answers that it expects."""
    with lab.log("bmc-chassis").open("a") as log:
        log.write(f"{time.strftime('%T')} {node.name} {' '.join(words)}\n")
    for verb, item, value in chassis_requests(words):
        if verb == "get":
            print(f"{item}:{int(item == 'power' and host.is_on(lab, node))}")
        elif item == "power" and value == "1":
            host.power_on(lab, node, firmware_seconds=FIRMWARE_SECONDS)
        elif item == "power":
            host.power_off(lab, node)
        elif item == "reset" and value == "1":
            host.power_off(lab, node)
            host.power_on(lab, node, firmware_seconds=FIRMWARE_SECONDS)
        elif item == "shutdown":
            os.kill(host.first_process(lab, node), signal.SIGRTMIN + 4)  # systemd powers off in order

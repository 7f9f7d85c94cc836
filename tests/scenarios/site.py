"""A lab site for the tests: vm-mgr as a user would call it, and the truth as the nodes tell it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LAB = ROOT / "tests/lab/lab"
VM_MGR = Path(sys.executable).with_name("vm-mgr")
_SLOW_SNAPSHOT = """sh -c 'sleep 37; rbd --no-progress snap create --pool="$1" --image="$2" --snap="$3"' sh {{ pool }} {{ image }} {{ snapshot }}\n"""


@dataclass(frozen=True)
class Answer:
    """What a call of vm-mgr gave."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def rows(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


@dataclass
class LabSite:
    """A running lab."""

    name: str
    options: list[str]
    environ: dict[str, str] = field(default_factory=dict)

    def up(self) -> None:
        """Bring it up, and find out how to reach it."""
        self.lab("up", *self.options, quiet=False)
        exports = self.lab("env")
        pairs = re.findall(r"^export (\w+)=(.*)$", exports, re.MULTILINE)
        self.environ = {key: value.strip("'\"") for key, value in pairs}

    def down(self) -> None:
        """Take it down with all that it had."""
        self.lab("down")

    def lab(self, verb: str, *words: str, quiet: bool = True) -> str:
        """Call the lab's own program."""
        command = [sys.executable, str(LAB), verb, "--name", self.name, *words]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE if quiet else None, text=True, timeout=900)
        assert done.returncode == 0, f"lab {verb} ended with {done.returncode}"
        return done.stdout or ""

    def vm_mgr(self, *words: str, env: dict[str, str] | None = None, timeout: float = 300) -> Answer:
        """Call vm-mgr from a pipe, as a script would."""
        began = time.monotonic()
        done = subprocess.run(
            [str(VM_MGR), *words], check=False, capture_output=True, text=True, timeout=timeout, env=self.env(env)
        )
        print(f"$ vm-mgr {' '.join(words)}\n{done.stdout}{done.stderr}", end="")
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def done(self, *words: str) -> Answer:
        """Call vm-mgr and expect success."""
        answer = self.vm_mgr(*words)
        assert answer.code == 0, answer.err
        return answer

    def start_vm_mgr(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start vm-mgr and return while it works."""
        return subprocess.Popen(
            [str(VM_MGR), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env(env)
        )

    def env(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of a shell in which this lab was chosen, with nothing of the machine's own user."""
        home = {"HOME": tempfile.gettempdir(), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return home | self.environ | (more or {})

    def on(self, host: str, *words: str) -> str:
        """Run a command on a host, not through sshd or anything of vm-mgr's."""
        done = self._ask(host, *words)
        assert done.returncode == 0, f"{host}: {' '.join(words)}: {done.stderr}"
        return done.stdout

    def _ask(self, host: str, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(LAB), "exec", "--name", self.name, host, *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)

    def on_powered(self, script: str, *words: str) -> dict[str, str]:
        """Run a shell script on each hypervisor that is switched on and answers; return what it prints, by host."""
        asked = f"systemctl is-active --quiet libvirtd || exit; echo up; {script}"
        found = {}
        for host in self.hypervisors:
            answer = self._ask(host, "sh", "-c", asked, "sh", *words, timeout=30)
            if answer.stdout.startswith("up\n"):
                assert answer.returncode == 0, f"{host}: {script}: {answer.stderr}"
                found[host] = answer.stdout[3:]
        return found

    @property
    def hypervisors(self) -> list[str]:
        """The names of the hypervisors."""
        return self.environ["LAB_HYPERVISORS"].split()

    @property
    def observers(self) -> list[str]:
        """The names of the observers; there may be none."""
        return self.environ["LAB_OBSERVERS"].split()

    @property
    def agent(self) -> str:
        """The provider of the resource agent that vm-mgr has to choose here."""
        return self.environ["LAB_AGENT"]

    @property
    def anywhere(self) -> str:
        """A host that stays up in every test."""
        return (self.observers or self.hypervisors)[-1]

    def image(self, guest: str) -> str:
        """The path of a guest's image on the workstation."""
        return self.environ[f"LAB_GUEST_{guest.upper()}"]

    def domain(self, folder: Path, vm: str, octet: int) -> str:
        """Write a domain XML for a guest and return its path."""
        path = folder / f"{vm}.xml"
        path.write_text(self.lab("domain", vm, str(octet)))
        return str(path)

    def booted(self, octet: int, seconds: float = 180) -> None:
        """Wait until a guest is up; before that it does not heed its power button, and a stop takes its full time."""
        address = (f"{self.environ['LAB_NET']}.{octet}", 22)

        def answers() -> bool:
            try:
                with socket.create_connection(address, timeout=1):
                    return True
            except OSError:
                return False

        try:
            until(answers, seconds, f"the guest {address[0]} answers")  # the machine that emulates it may have other work
        except AssertionError:
            self.print_consoles()
            raise
        time.sleep(1)

    def print_consoles(self) -> None:
        """Print the end of the guests' serial consoles, for whoever reads why a test failed."""
        for host in self.powered():
            print(self.on(host, "sh", "-c", "tail -n 15 /var/log/libvirt/qemu/*.serial 2>&1 || true"))

    def discard(self, vm: str) -> None:
        """Remove a VM without waiting for its guest to shut down."""
        self.done("stop", "--force", "-n", vm)
        self.done("remove", "-n", vm)

    def cib(self) -> ET.Element:
        """The CIB as it is."""
        return ET.fromstring(self.on(self.anywhere, "cibadmin", "--query"))

    def epoch(self) -> str:
        """The version of the cluster's configuration."""
        return self.cib().get("epoch", "")

    def primitive(self, vm: str) -> ET.Element | None:
        """A VM's resource."""
        return self.cib().find(f"configuration/resources/primitive[@id='{vm}']")

    def runs_on(self, vm: str) -> list[str]:
        """The hypervisors on which libvirt runs the VM."""
        return [host for host, names in self.on_powered("virsh list --name").items() if vm in names.split()]

    def powered(self) -> list[str]:
        """The hypervisors that are switched on and answer."""
        return [*self.on_powered("true")]

    def rbd(self, *words: str) -> Any:
        """Ask rbd for JSON."""
        return json.loads(self.on(self.anywhere, "rbd", "--format=json", *words))

    def metadata(self, vm: str) -> dict[str, str]:
        """The metadata of a VM's system image."""
        return dict(self.rbd("image-meta", "list", f"system_{vm}"))

    def files(self, vm: str) -> dict[str, str]:
        """The domain XML files of a VM, by hypervisor."""
        found = self.on_powered('cat "$1" 2>/dev/null || true', f"/etc/pacemaker/{vm}.xml")
        return {host: text for host, text in found.items() if text}

    def traces(self, vm: str) -> list[str]:
        """All that the nodes still have of a VM."""
        script = "rbd ls && rbd group ls && echo / && rados --pool=rbd ls"
        names, _, objects = self.on(self.anywhere, "sh", "-c", script).partition("/\n")
        left = [name for name in names.split() if vm in name]
        left += [name for name in objects.split() if name in (f"vm-mgr.{vm}", f"vm-mgr-snapshots.{vm}")]
        configuration = self.cib().find("configuration")
        assert configuration is not None
        left += [item.get("id", "") for item in configuration.iter() if vm in item.get("id", "")]
        return left + [f"{host}:/etc/pacemaker/{vm}.xml" for host in self.files(vm)]


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something that takes its time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.3)


def all_online(site: LabSite) -> bool:
    """Whether Pacemaker sees all machines."""
    nodes = ET.fromstring(site.on(site.anywhere, "crm_mon", "-1", "--output-as=xml")).iterfind("nodes/node")
    return all(node.get("online") == "true" for node in nodes)


def status(site: LabSite, vm: str) -> tuple[str, str | None]:
    """Return what vm-mgr says of a VM."""
    row = site.done("status", "-n", vm, "-f", "json").rows
    return row["Status"], row["Node"]


def slow_site(site: LabSite, folder: Path) -> str:
    """Write a configuration in which a snapshot takes half a minute, and return its path."""
    template = folder / "templates/rbd/create_snapshot.j2"
    template.parent.mkdir(parents=True)
    template.write_text(_SLOW_SNAPSHOT)
    config = folder / "config.yaml"
    document = {"sites": {"slow": {"inventory": site.environ["VMMGR_INVENTORY"], "templates": str(folder / "templates")}}}
    config.write_text(json.dumps(document))
    return str(config)

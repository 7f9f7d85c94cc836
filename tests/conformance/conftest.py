"""Every registered driver, made ready, and a call for each of its methods."""

from __future__ import annotations

import inspect
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers import base
from vmmgr.drivers.guest import survey
from vmmgr.drivers.pacemaker.authkey import Authkey
from vmmgr.drivers.pacemaker.cib import Cib
from vmmgr.hooks import template_folders
from vmmgr.model import Lease
from vmmgr.plugins import find_drivers, load_class
from vmmgr.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vmmgr.command import Command
    from vmmgr.hookspecs import DriverSpec

KINDS = {
    "cluster": base.ClusterDriver,
    "storage": base.StorageDriver,
    "hypervisor": base.HypervisorDriver,
    "guest": base.GuestDriver,
}
# What each parameter of a driver's method is given, by its name.
ARGUMENTS: dict[str, Any] = {
    "cib": Cib(ET.fromstring('<cib admin_epoch="1" epoch="23" have-quorum="1"/>')),
    "ids": ("first", "second"),
    "lease": Lease("vm1", "clone", "ann@desk <b>", 1000, 1060, "abcd", {"source": "vm2", "note": 'a "b" <c>\n'}),
    "old": Lease("vm1", "create", "bob@lab", 10, 70, "dcba"),
    "new": Lease("vm1", "clone", "ann@desk <b>", 1000, 1060, "abcd", {"source": "vm2", "note": 'a "b" <c>\n'}),
    "document": "<cib><configuration><resources><primitive id=\"new\"/></resources></configuration></cib>",
    "domain_xml": "<domain type='kvm'><name>größe</name></domain>",
    "content": "<domain type='kvm'/>",
    "metadata": {"vm_name": "vm1", "note": "-rf"},
    "lines": (("location", "near", "vm1", "100:", "hv 1"), ("show",)),
    "vm": "vm1", "key": "target-role", "value": "Stopped", "image": "system_vm1", "group": "vm1", "snapshot": "before",
    "destination": "system_vm2", "keys": ("note", "-rf"), "usage": True, "images": ("system_vm1", "data_vm1_0"), "known": ("10.0.0.1:0/2",),
    "token": "abcd", "freeze": True, "pause": True, "strict": True,
    "program": b"echo '\\'\xff\n", "address": "10.0.0.101", "port": 3121, "folder": "/var/tmp/vm-mgr-abcd",
    "size": 1 << 30, "compression": "none", "file": "/etc/pacemaker/vm1.xml", "timeout": 30.0,
}  # fmt: skip


class RecordingRenderer(Renderer):
    """Notes which templates are rendered."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        super().__init__(folders)
        self.used: set[str] = set()

    def argv(self, template: str, **values: Any) -> tuple[str, ...]:
        """Note and render a command."""
        self.used.add(template)
        return super().argv(template, **values)

    def xml(self, template: str, **values: Any) -> str:
        """Note and render a document."""
        self.used.add(template)
        return super().xml(template, **values)


class Subject:
    """A driver under test."""

    def __init__(self, spec: DriverSpec, renderer: Renderer) -> None:
        self.spec = spec
        self.kind: Any = KINDS[spec.kind]
        driver: Any = load_class(spec)
        self.driver = driver(renderer, "pool1") if spec.kind == "storage" else driver(renderer)

    @property
    def methods(self) -> list[str]:
        """The names of the methods that a driver of this kind must have."""
        return sorted(self.kind.__abstractmethods__)

    def command(self, method: str) -> Command[Any]:
        """Return the command that a method makes of sample arguments."""
        call = getattr(self.driver, method)
        return call(**{name: ARGUMENTS[name] for name in self.parameters(method)})

    def parameters(self, method: str) -> list[str]:
        """Return the names of a method's parameters, as the base class has them."""
        return [name for name in inspect.signature(getattr(self.kind, method)).parameters if name != "self"]

    def reads(self, method: str) -> bool:
        """Tell by the base class's words whether a method only reads: Read …, Fail with …, Have … check, Wait …."""
        return getattr(self.kind, method).__doc__.split()[0] in ("Read", "Fail", "Have", "Wait")

    def value(self, method: str) -> bool:
        """Tell whether a method's command has a value."""
        return getattr(self.kind, method).__annotations__["return"] != "Command[None]"


def specs() -> list[DriverSpec]:
    """Return all registered drivers that can be used."""
    return [offer.spec for offer in find_drivers() if offer.spec and not offer.problem]


def beside_drivers(renderer: Renderer) -> list[Command[Any]]:
    """Return the commands that belong to no driver of a kind: the key of remote nodes, and the first look at a guest."""
    key, text = Authkey(renderer), b64encode(b"any bytes\0\xff").decode()
    return [
        key.inspect(),
        key.read(own=True),
        key.write(text),
        key.remove("0" * 64),
        survey(renderer, 3121, ("apt-get", "dnf")),
    ]


@pytest.fixture(scope="session", params=specs(), ids=lambda spec: f"{spec.kind}-{spec.name}")
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each registered driver in turn."""
    return Subject(request.param, RecordingRenderer(template_folders()))


@pytest.fixture(scope="session")
def used_templates() -> frozenset[str]:
    """The templates that the drivers' methods render."""
    renderer = RecordingRenderer(template_folders())
    for spec in specs():
        subject = Subject(spec, renderer)
        for method in subject.methods:
            subject.command(method)
    for command in beside_drivers(renderer):
        assert command.argv
    return frozenset(renderer.used)


@pytest.fixture(scope="session")
def subject_of() -> Any:
    """Return a function that makes one driver by its name."""
    return lambda name: next(Subject(spec, RecordingRenderer(template_folders())) for spec in specs() if spec.name == name)

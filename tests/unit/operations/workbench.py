"""Runs operations on a fake site, and has VMs to run them on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree as ET

from fakecommands import RENDERER
from fakeremote import FakeRemote
from fakesite import FakeSite, Image, Run

from vmmgr.operations.context import Context
from vmmgr.operations.create import CreateRequest, create
from vmmgr.operations.definition import Settings, definition
from vmmgr.operations.dryrun import DryRunner
from vmmgr.operations.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmmgr.images import DiskImage
    from vmmgr.operations.steps import Steps

T = TypeVar("T")
DOMAIN = "<domain type='kvm'><name>any</name><uuid>99999999-0000-4000-8000-000000000000</uuid><memory unit='MiB'>64</memory><devices/></domain>"
BY_HAND = '<domain type="kvm"><name>{0}</name><uuid>0000000{1}-0000-4000-8000-000000000000</uuid></domain>\n'


class Clock:
    """The time of a test; it passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.sites: list[FakeSite] = []

    def monotonic(self) -> float:
        return self.sites[-1].seconds if self.sites else 0.0

    def sleep(self, seconds: float) -> None:
        if self.sites:
            self.sites[-1].seconds += seconds


@dataclass
class Told:
    """A reporter that remembers what it was told."""

    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def say(self, text: str, *, warning: bool = False) -> None:
        (self.warnings if warning else self.said).append(text)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda _done: None


class Bench:
    """An administrator at a workstation, with a fake site."""

    def __init__(self, site: FakeSite, clock: Clock, who: str = "ann@desk") -> None:
        self.site, self.told = site, Told()
        clock.sites.append(site)
        self.context = Context(site.site, who, clock=clock.monotonic)
        self.context.__dict__["renderer"] = RENDERER  # compiled once for all tests
        self.remote = FakeRemote(site)

    def run(self, operation: Callable[[Context], Steps[T]]) -> T:
        """Run an operation with a fresh connection."""
        before, faults = self.remote.before, self.remote.faults
        self.remote = FakeRemote(self.site)
        self.remote.before, self.remote.faults = before, faults
        return Runner(self.context.site, self.remote, self.told).run(operation(self.context))  # type: ignore[arg-type]

    def left_behind(self, operation: Callable[[Context], Steps[Any]]) -> list[tuple[str, FakeSite]]:
        """Run an operation; return what a workstation that is lost right after a command leaves behind, with that command.

        Of what is alike, as after commands that only read, there is one.
        """
        names: list[str] = []
        left: dict[tuple[str, bytes], tuple[str, FakeSite]] = {}

        def look(index: int, name: str) -> None:
            if names:
                left.setdefault(self.site.fingerprint(), (f"{index - 1}, {names[-1]}", self.site.clone()))
            names.append(name)

        self.remote.before = look
        self.run(operation)
        look(len(names), "the end")
        return list(left.values())

    def rehearse(self, operation: Callable[[Context], Steps[T]]) -> tuple[T, DryRunner]:
        """Run an operation with ``--dry-run``, and return its value with what is known afterwards."""
        self.remote = FakeRemote(self.site)
        runner = DryRunner(self.context.site, self.remote, self.told, self.context.reader)  # type: ignore[arg-type]
        return runner.run(operation(self.context)), runner


def request(disk: DiskImage, name: str = "web", *, disks: int = 1, **options: Any) -> CreateRequest:
    """Return what to create."""
    return CreateRequest(name, DOMAIN, (disk,) * disks, **options)


def creating(disk: DiskImage, name: str = "web", **options: Any) -> Callable[[Context], Steps[Any]]:
    """Return the operation that creates a VM."""
    return lambda context: create(context, request(disk, name, **options))


def add_vm(site: FakeSite, name: str, *, running: bool = True, enabled: bool = True, disks: int = 1, **settings: Any) -> None:
    """Put a VM into a site, as vm-mgr or vm_manager would have made it."""
    text = BY_HAND.format(name, len(site.groups) + 1)
    images = [f"system_{name}", *(f"data_{name}_{index}" for index in range(disks - 1))]
    for image in images:
        site.images[image] = Image(1 << 20, data=f"data of {image}")
    chosen = Settings(**settings)
    site.images[images[0]].metadata = {"vm_name": name, "xml": text, "_base_xml": text} | chosen.to_metadata()
    site.groups[name] = set(images)
    for host in site.hosts.values():
        if host.name.startswith("hv"):
            host.files[f"/etc/pacemaker/{name}.xml"] = text
    if not enabled:
        return
    context = Context(site.site, "setup")
    context.__dict__["renderer"] = RENDERER
    file = f"/etc/pacemaker/{name}.xml"
    document = ET.fromstring(
        definition(context, name, chosen, agent="heartbeat", config=file, observers=["obs1"], started=running)
    )
    site.resources.extend(document.iterfind("configuration/resources/*"))
    site.constraints.extend(document.iterfind("configuration/constraints/*"))
    site.runs[name] = Run()
    if running:
        site.move(name, site.runs[name], "hv1")


def constrain(site: FakeSite, text: str) -> None:
    """Add a constraint, as an administrator would."""
    site.constraints.append(ET.fromstring(text))

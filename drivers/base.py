"""What a driver of each kind offers. A driver builds commands and reads their answers; it never runs anything.

Every method returns a ``Command``: its ``argv`` comes from a template in the driver's own folder, so that a site can override
it, and its ``parse`` turns the answer into the value named in the brackets, or raises ``CommandFailedError``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.command import Command
    from vmmgr.disks import Disks, Flattening
    from vmmgr.drivers.guest.facts import Packages
    from vmmgr.drivers.libvirt.addresses import Address, Reach
    from vmmgr.drivers.libvirt.host import Hypervisor
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.model import Lease, Quiescence, Simulation
    from vmmgr.remote.channel import Output
    from vmmgr.rendering import Renderer


class Driver(ABC):
    """What all drivers share: they are made with the renderer of the site's templates.

    Attributes:
        folder: The folder of the driver's templates.
        templates: The names of those that it needs in a folder of its own; the others are in one that is named in the code.
    """

    folder: ClassVar[str]
    templates: ClassVar[tuple[str, ...]] = ()

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    @classmethod
    def check_templates(cls, renderer: Renderer) -> None:
        """Make sure that there are the templates that are the driver's own.

        Raises:
            TemplateError: One is missing or cannot be read.
        """
        for name in cls.templates:
            renderer.check(f"{cls.folder}/{name}")


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


class StorageDriver(Driver):
    """Keeps the disks of VMs and their metadata.

    Attributes:
        pool: Where they are.
    """

    def __init__(self, renderer: Renderer, pool: str) -> None:
        super().__init__(renderer)
        self.pool = pool

    @abstractmethod
    def groups(self) -> Command[frozenset[str]]:
        """Read the names of the VMs that have disks: each has a group of its name."""

    @abstractmethod
    def images(self) -> Command[frozenset[str]]:
        """Read the names of all images."""

    @abstractmethod
    def monitors(self) -> Command[tuple[tuple[str, int], ...]]:
        """Read the addresses and ports at which virtual machines reach the storage."""

    @abstractmethod
    def create_image(self, image: str, size: int) -> Command[None]:
        """Create an empty image of ``size`` bytes; fail if there is one of that name."""

    @abstractmethod
    def import_image(self, image: str, compression: str) -> Command[str]:
        """Fill an empty image from the diff stream on standard input [SHA-256 of the stream as it arrived, in hex]."""

    @abstractmethod
    def remove_image(self, image: str) -> Command[None]:
        """Remove an image that has no snapshots; nothing happens if there is none."""

    @abstractmethod
    def create_group(self, group: str) -> Command[None]:
        """Create an empty group; fail if there is one of that name."""

    @abstractmethod
    def add_to_group(self, group: str, image: str) -> Command[None]:
        """Make an image a member of a group."""

    @abstractmethod
    def remove_group(self, group: str) -> Command[None]:
        """Remove a group and leave its images; nothing happens if there is none."""

    @abstractmethod
    def rename_image(self, image: str, destination: str) -> Command[None]:
        """Give an image another name; fail if there is one of that name. It stays in its group."""

    @abstractmethod
    def rename_group(self, group: str, destination: str) -> Command[None]:
        """Give a group another name; fail if there is one of that name. Its images and snapshots stay."""

    @abstractmethod
    def disks(self, vm: str, *, usage: bool = False) -> Command[Disks]:
        """Read all about the disks of a VM; it has none when there are no images of its name and no group.

        Args:
            vm: The VM.
            usage: Whether to read what each snapshot uses, too; a process more for each disk.
        """

    @abstractmethod
    def metadata(self, image: str) -> Command[dict[str, str]]:
        """Read all metadata of an image, bytes that are no UTF-8 as lone surrogates (PEP 383); none when there is no such image."""

    @abstractmethod
    def set_metadata(self, image: str, metadata: Mapping[str, str]) -> Command[None]:
        """Set some metadata of an image."""

    @abstractmethod
    def unset_metadata(self, image: str, keys: Sequence[str]) -> Command[None]:
        """Remove some metadata of an image, those of them that are there."""

    @abstractmethod
    def unprotect(self, image: str, snapshot: str) -> Command[None]:
        """Unprotect a snapshot; fail while a clone depends on it."""

    @abstractmethod
    def purge_snapshots(self, image: str) -> Command[None]:
        """Remove all snapshots of an image."""

    @abstractmethod
    def create_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Take a snapshot of an image; fail if it has one of that name."""

    @abstractmethod
    def remove_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Remove a snapshot of an image that is not protected; nothing happens if there is none."""

    @abstractmethod
    def rollback_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Give an image the content that it had at a snapshot; nobody may have it open."""

    @abstractmethod
    def create_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Take a snapshot of all images of a group at one instant; fail if it has one of that name."""

    @abstractmethod
    def remove_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Remove a snapshot of a group from all its images; nothing happens if there is none."""

    @abstractmethod
    def rollback_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Give the images of a group the content that they had at its snapshot; nobody may have one open."""

    @abstractmethod
    def clone_image(self, image: str, snapshot: str, destination: str) -> Command[None]:
        """Make an image that shares the data of a snapshot, with the metadata that the image has now; fail if the name is taken.

        The snapshot must be one of the image's own, not of a group; it can be removed at once, the image not until the clone
        is flattened.
        """

    @abstractmethod
    def flatten(self, image: str) -> Command[None]:
        """Copy what a clone shares with its parent, and end when it depends on it no more; fail if it has no parent."""

    @abstractmethod
    def flatten_later(self, image: str) -> Command[str]:
        """Let the storage flatten a clone in the background; nothing happens if it has no parent [why it will not; mostly empty]."""

    @abstractmethod
    def flattening(self, images: Sequence[str]) -> Command[dict[str, Flattening | None]]:
        """Read which of these images still depend on another one, and how far their flattening in the background is."""

    @abstractmethod
    def assert_unused(self, images: Sequence[str], known: Sequence[str]) -> Command[None]:
        """Fail with ``InUseError`` when anybody has one of the images open but those whose addresses are known."""

    @abstractmethod
    def records_put(self, vm: str, document: str) -> Command[None]:
        """Write down what is to be known of a VM's snapshots; ``disks`` reads it."""

    @abstractmethod
    def records_remove(self, vm: str) -> Command[None]:
        """Remove what was written down of a VM's snapshots, if anything was."""

    @abstractmethod
    def store_get(self, vm: str) -> Command[str]:
        """Read what was put aside for a disabled VM [the empty string when nothing was]."""

    @abstractmethod
    def store_put(self, vm: str, document: str) -> Command[None]:
        """Put a document aside for a disabled VM."""

    @abstractmethod
    def store_remove(self, vm: str) -> Command[None]:
        """Remove what was put aside, if anything was."""


class HypervisorDriver(Driver):
    """Talks to the hypervisor's own daemon, and keeps the files that it starts VMs from."""

    @abstractmethod
    def inspect(self, file: str) -> Command[Hypervisor]:
        """Read what a hypervisor has: agents, domains, secrets, and the hash of ``file`` if it exists."""

    @abstractmethod
    def validate(self, domain_xml: str) -> Command[None]:
        """Have the hypervisor check a domain without defining or starting it."""

    @abstractmethod
    def write_file(self, file: str, content: str) -> Command[None]:
        """Write a file at once, verified by its hash."""

    @abstractmethod
    def remove_file(self, file: str) -> Command[None]:
        """Remove a file, if it is there."""

    @abstractmethod
    def state(self, vm: str) -> Command[str]:
        """Read what the hypervisor says of a domain: ``running``, ``paused``, ``in shutdown`` …; fail where it has none."""

    @abstractmethod
    def destroy(self, vm: str) -> Command[None]:
        """Cut the power of a domain, if it runs here."""

    @abstractmethod
    def quiesce(self, vm: str, token: str, *, freeze: bool, pause: bool) -> Command[tuple[Quiescence, str]]:
        """Make the guest of a domain that runs here hold still; the hypervisor itself ends that after some seconds.

        Args:
            vm: The domain.
            token: A word that tells this from any other time, for ``release``.
            freeze: Whether to have the guest's agent freeze its file systems.
            pause: Whether to suspend the domain where that is not asked for, or does not succeed.

        Returns:
            How it holds still now, and why not better; ``before`` where somebody else had paused it already.
        """

    @abstractmethod
    def release(self, vm: str, token: str, *, strict: bool = False) -> Command[Quiescence]:
        """End what ``quiesce`` began [how the guest had held still up to now]; nothing happens where that has ended.

        A ``strict`` one then fails with a ``VmMgrError``, so that what comes after it in the same exec is not run.
        """

    @abstractmethod
    def addresses(self, vm: str) -> Command[tuple[Address, ...]]:
        """Read the addresses of a domain that runs here, from its guest's agent, from DHCP leases and from the ARP table."""

    @abstractmethod
    def reach(self, address: str, port: int) -> Command[Reach]:
        """Read what becomes of a TCP connection from this hypervisor to a guest."""

    @abstractmethod
    def relay(self, address: str, port: int) -> Command[None]:
        """Read from a TCP port of a guest, and send there what comes on standard input, until either ends; root is not needed."""

    @abstractmethod
    def agent_run(self, vm: str, program: bytes) -> Command[Output]:
        """Run a shell program as root in the guest of a domain that runs here, by the guest's agent [exit code and output].

        The program is secret: it stands on no command line, neither here nor in the guest. The command takes as long as the program.
        """

    @abstractmethod
    def agent_write(self, vm: str, file: str) -> Command[None]:
        """Write standard input into a file of such a guest, by its agent; the data may show in the process list of this machine."""


class GuestDriver(Driver):
    """Installs Pacemaker's remote daemon in a guest, with the package manager that is there.

    Its commands run in the guest, but for ``download``. What is installed is written down there, so that just that can be removed.

    Attributes:
        suffix: How the names of its packages' files end.
    """

    suffix: ClassVar[str]

    @abstractmethod
    def packages(self) -> Command[Packages]:
        """Read which version of the remote daemon is installed, and which one could be."""

    @abstractmethod
    def make_folder(self, folder: str) -> Command[None]:
        """Make a folder for packages; fail if it is there."""

    @abstractmethod
    def receive(self, folder: str) -> Command[None]:
        """Unpack the tar archive on standard input into a folder."""

    @abstractmethod
    def remove_folder(self, folder: str) -> Command[None]:
        """Remove a folder with all that is in it, if it is there."""

    @abstractmethod
    def install(self, folder: str) -> Command[tuple[str, ...]]:
        """Install the remote daemon and resource agents, from the files in a folder or where that is empty from the guest's sources.

        Returns:
            The names of the packages that were installed; they are written down in the guest as well.
        """

    @abstractmethod
    def uninstall(self) -> Command[str]:
        """Remove what ``install`` installed, unless other packages need it by now [why it stays; mostly empty]."""

    @abstractmethod
    def download(self, folder: str) -> Command[None]:
        """Fill a folder with all files that ``install`` may need from one, out of the sources of the machine that this runs on."""

    @abstractmethod
    def start(self, port: int) -> Command[None]:
        """Start the remote daemon on a TCP port, now and with every boot; one that runs is started anew."""

    @abstractmethod
    def daemon(self) -> Command[str]:
        """Read why the remote daemon does not run [empty where it does]."""

    @abstractmethod
    def stop(self) -> Command[None]:
        """Stop the remote daemon, now and for every boot; nothing happens where there is none."""

    @abstractmethod
    def open_port(self, port: int) -> Command[None]:
        """Open a TCP port in the guest's firewall, now and with every boot."""

    @abstractmethod
    def close_port(self, port: int) -> Command[None]:
        """Close a TCP port in the guest's firewall, now and with every boot."""

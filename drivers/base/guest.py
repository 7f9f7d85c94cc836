"""What a driver for the package manager of a guest offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from vmmgr.drivers.base.driver import Driver

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.drivers.guest.facts import Packages


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

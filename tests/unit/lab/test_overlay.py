"""The upper layer of a host and the packages that it hides. Ids of the running user stand in for root's."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from lab import absent
from lab.overlay import Overlay

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "Package: crmsh\nStatus: install ok installed\n\nPackage: crmsh-doc\nStatus: x\n\nPackage: bash\nStatus: x\n"


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    """Return an overlay over a small root that knows the running user as ``me``."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(f"me:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n")
    (root / "etc/group").write_text(f"us:x:{os.getgid()}:\n")
    return Overlay(root, tmp_path / "upper")


def test_folders_keep_the_mode_of_the_root(overlay: Overlay) -> None:
    """A folder that the root has with mode 700 does not open up because a host writes into it."""
    (overlay.root / "private").mkdir(mode=0o700)
    overlay.write("private/file", "x", owner="me:us", mode=0o640)
    assert stat.S_IMODE((overlay.upper / "private").stat().st_mode) == 0o700
    assert stat.S_IMODE((overlay.upper / "private/file").stat().st_mode) == 0o640


def test_unknown_owner_is_an_error(overlay: Overlay) -> None:
    """A user that the root does not have is named."""
    with pytest.raises(KeyError, match="no nobody-knows"):
        overlay.write("file", "x", owner="nobody-knows:us")


def test_files_of_a_package_are_where_they_really_are(tmp_path: Path) -> None:
    """A listed /lib/x is found at usr/lib/x; folders and files that are not there are left out."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/x").touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    assert list(absent.files_of(tmp_path, ["/.", "/lib", "/lib/x", "/lib/gone"])) == ["usr/lib/x"]


def test_the_package_database_forgets_whole_names_only() -> None:
    """Crmsh goes, crmsh-doc stays."""
    kept = absent.without_packages(STATUS, absent.TOOL_PACKAGES["crmsh"])
    assert "Package: crmsh\n" not in kept
    assert "Package: crmsh-doc\n" in kept
    assert kept.endswith("Package: bash\nStatus: x\n")

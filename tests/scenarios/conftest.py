"""The sites that the scenarios run on: both cluster tools, logins and resource agents, two and three hypervisors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import LabSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITES = {
    "crmsh-root": ["--login", "root", "--tools", "crmsh"],
    "pcs-hardened": ["--login", "hardened", "--tools", "pcs"],
    # as SEAPATH's playbooks leave a site
    "crmsh-hardened": ["--login", "hardened", "--tools", "crmsh", "--fencing", "off", "--agent", "seapath"],
    "pcs-root": ["--login", "root", "--tools", "pcs", "--fencing", "off"],
    "three": ["--login", "hardened", "--tools", "both", "--hosts", "3hv", "--agent", "seapath"],
}
# One after the other: two labs at a time would need twice the memory, and two cores do not make them faster.
CHOSEN = os.environ.get("VMMGR_LAB_SITES", ",".join(SITES)).split(",")
# Whoever chooses sites gets all that runs on them. Otherwise each module runs on the first site that it names, and what is marked
# as thorough does not run: every verb is met with both tools (test_parity.py), the main ones on each tool with each login
# (test_main_road), and so are both agents, in half an hour.
BRIEFLY = "VMMGR_LAB_SITES" not in os.environ


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the sites that its mark or its module's ``RUN_ON`` names, or on all of them."""
    if "site" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("sites")
        named = mark.args if mark else getattr(metafunc.module, "RUN_ON", tuple(SITES))
        wanted = named[: 1 if BRIEFLY and not mark else None]
        metafunc.parametrize("site", [name for name in CHOSEN if name in wanted], indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is thorough, and say so, unless sites are chosen."""
    left_out = [item for item in items if BRIEFLY and item.get_closest_marker("thorough")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[LabSite]:
    """A running site; VMMGR_LAB_SITES chooses, VMMGR_LAB_KEEP leaves the last one up to look at, VMMGR_LAB_PREFIX names it."""
    lab = LabSite(f"{os.environ.get('VMMGR_LAB_PREFIX', 'test')}-{request.param}", SITES[request.param])
    keep = os.environ.get("VMMGR_LAB_KEEP")
    try:
        if not keep:
            lab.down()  # one that an earlier run left behind has VMs that no test expects
        lab.up()
        yield lab
    finally:
        if not keep:
            lab.down()


@pytest.fixture
def vm(site: LabSite, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a VM of this test; what is left of it afterwards is removed."""
    name = request.node.originalname.removeprefix("test_")[:20].rstrip("_")
    yield name
    _leave_nothing(site, name)


@pytest.fixture
def web(site: LabSite) -> Iterator[str]:
    """The name of the VM on the pages; what is left of it after a test is removed, so that the next page can make it."""
    yield "web"
    _leave_nothing(site, "web")


def _leave_nothing(site: LabSite, name: str) -> None:
    if site.traces(name):
        site.vm_mgr("repair", "-n", name, "--force")
        site.vm_mgr("stop", "--force", "-n", name)
        site.vm_mgr("remove", "-n", name)


@pytest.fixture
def xml(site: LabSite, vm: str, tmp_path: Path) -> str:
    """A domain XML for the VM of this test."""
    return site.domain(tmp_path, vm, 110)


@pytest.fixture(scope="session")
def big_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A disk image that takes some seconds to import."""
    path = tmp_path_factory.mktemp("big") / "big.raw"
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
        for _ in range(600):
            file.write(block)
    yield str(path)
    path.unlink()


@pytest.fixture
def empty_image(tmp_path: Path) -> str:
    """A small disk image without a system; such a guest never heeds its power button."""
    path = tmp_path / "empty.raw"
    path.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    return str(path)

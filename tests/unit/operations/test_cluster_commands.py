"""Further commands of the cluster's own tool: part of the one change, never half done, kept for whoever enables the VM later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakesite import FakeSite
from workbench import Bench, add_vm, creating

from vmmgr.errors import RefusedError, UsageError
from vmmgr.model import Status
from vmmgr.operations.definition import Settings
from vmmgr.operations.membership import disable, enable

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage

NEAR = {
    "crm": ("location near web 100: hv2", "location far web -5: hv1"),
    "pcs": ("constraint location add near web hv2 100", "constraint location add far web hv1 -5"),
}
KEYS = {"crm": "_crm_config_cmd", "pcs": "_pcs_config_cmd"}


@pytest.mark.parametrize("tool", NEAR)
def test_commands_are_part_of_the_one_change(clock: Clock, disk: DiskImage, tool: str) -> None:
    """The commands are run and kept; a disable keeps what they made, so that an enable does not run them twice."""
    site = FakeSite(tool)
    bench = Bench(site, clock)
    bench.run(creating(disk, settings=Settings(commands={"": NEAR[tool]})))
    assert site.definitions == 1
    assert site.images["system_web"].metadata[KEYS[tool]] == "\n".join(NEAR[tool])
    assert {item.get("id"): item.get("score") for item in site.constraints}["near"] == "100"
    bench.run(lambda context: disable(context, "web"))
    assert "near" not in {item.get("id") for item in site.constraints}
    bench.run(lambda context: enable(context, "web"))
    assert [item.get("id") for item in site.constraints].count("near") == 1
    assert site.violations == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_refused_line_is_named_before_anything_is_made(clock: Clock, disk: DiskImage, *, enabled: bool) -> None:
    """The tool tries the lines on a copy of the CIB first; what it refuses is named with its own words."""
    site = FakeSite()
    before = site.state()
    lines = {"crmsh": ("location near web 100: hv2", "location near nobody 7: hv1")}
    bench = Bench(site, clock)
    if not enabled:  # nothing is run yet, so nothing is refused yet
        assert bench.run(creating(disk, settings=Settings(commands=lines), enable=False)).status is Status.DISABLED
        with pytest.raises(RefusedError, match="location near nobody 7: hv1"):
            bench.run(lambda context: enable(context, "web"))
        assert site.definitions == 0
        return
    with pytest.raises(RefusedError, match=r"refuses the line 'location near nobody 7: hv1': ERROR: cannot understand"):
        bench.run(creating(disk, settings=Settings(commands=lines)))
    assert site.state() == before


def test_lines_of_another_tool_are_refused(clock: Clock, disk: DiskImage) -> None:
    """Lines for crm cannot be run where there is only pcs."""
    bench = Bench(FakeSite("pcs"), clock)
    with pytest.raises(RefusedError, match="changed by the driver pcs, which cannot run the line 'location near"):
        bench.run(creating(disk, settings=Settings(commands={"crmsh": NEAR["crm"]})))


@pytest.mark.parametrize("tool", NEAR)
def test_enable_runs_what_vm_manager_stored(clock: Clock, tool: str) -> None:
    """A VM that vm_manager disabled has only its metadata: its commands are run by crm, and shown where there is none."""
    site = FakeSite(tool)
    add_vm(site, "web", enabled=False, commands={"crmsh": NEAR["crm"]})
    bench = Bench(site, clock)
    bench.run(lambda context: enable(context, "web"))
    assert site.definitions == 1
    assert ("near" in {item.get("id") for item in site.constraints}) == (tool == "crm")
    assert any("location far web -5: hv1" in text for text in bench.told.warnings) == (tool == "pcs")


@pytest.mark.parametrize("line", ["", "  ", "location 'near", "location near\nweb"])
def test_what_is_no_command(line: str) -> None:
    """A command is one line of at least one word, with its quotes closed."""
    with pytest.raises(UsageError, match="command"):
        Settings(commands={"": (line,)})


def test_a13_23_words_keep_their_blanks() -> None:
    """What is in quotes is one word for the tool, blanks and all."""
    settings = Settings(commands={"crmsh": ("location near web rule 5: site eq 'Trois Rivières'",)})
    assert settings.lines("crmsh")[0][-1] == "Trois Rivières"
    assert Settings.from_metadata(settings.to_metadata()).commands == settings.commands

"""What the lab remembers between two commands: one folder per lab, with what it is in ``lab.json``."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from . import cgroups, network
from .build import base_folder
from .plan import Lab, LabError, Options, tag_of


def lab_folder(name: str) -> Path:
    """Return the state folder of the lab of that name.

    Raises:
        LabError: the name is not one for a lab.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise LabError(f"{name!r} cannot name a lab: a small letter, then up to 19 small letters, digits and hyphens.")
    return base_folder() / "labs" / name


def names() -> list[str]:
    """Return the names of all labs of the base folder, whole and half."""
    return sorted(path.name for path in (base_folder() / "labs").glob("*"))


def save(lab: Lab, *, complete: bool) -> None:
    """Write what the lab is, and whether ``up`` has finished."""
    values = {
        "complete": complete, "net": lab.net, "options": lab.options.to_json(),
        "root": str(lab.root), "guests": str(lab.guests), "keys": str(lab.keys),
    }  # fmt: skip
    unfinished = lab.folder / "lab.json.unfinished"
    unfinished.write_text(json.dumps(values, indent=1) + "\n")
    unfinished.rename(lab.folder / "lab.json")


def load(name: str) -> tuple[Lab, bool] | None:
    """Return the lab of that name and whether it is up, or None if there is none.

    A lab whose ``up`` was interrupted, or that a reboot of the machine took away, is not up.
    """
    folder = lab_folder(name)
    try:
        values = json.loads((folder / "lab.json").read_text())
    except FileNotFoundError:
        return None
    paths = (Path(values[key]) for key in ("root", "guests", "keys"))
    lab = Lab(name, folder, values["net"], Options.from_json(values["options"]), *paths)
    return lab, values["complete"] and network.bridge_exists(lab.net)


def running(name: str) -> Lab:
    """Return the lab of that name.

    Raises:
        LabError: it is not up.
    """
    found = load(name)
    if not found or not found[1]:
        raise LabError(f"lab {name} is not up; lab up --name {name} brings it up.")
    return found[0]


def remove(name: str) -> bool:
    """Remove all of a lab, whatever of it there is: processes, network, files. Tell whether there was anything.

    It relies on nothing that ``up`` wrote about its progress: the reservation of the subnet comes before all else, and
    everything on the machine is named after the subnet.
    """
    folder = lab_folder(name)
    reserved = network.reservations(folder)
    for file in reserved:
        tag = tag_of(file.name)
        cgroups.kill(cgroups.folder(tag))
        network.destroy(file.name)
        cgroups.remove(cgroups.folder(tag))
    existed = folder.exists()
    if existed:
        shutil.rmtree(folder)
    for file in reserved:
        file.unlink()
    return existed or bool(reserved)

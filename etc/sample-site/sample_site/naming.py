"""How VMs are named here."""

from __future__ import annotations

import re

PURPOSES = ("prot", "scada", "gw")
_RULE = re.compile(rf"({'|'.join(PURPOSES)})-[a-z0-9-]+")


def complaint(name: str) -> str | None:
    """Return what is wrong with the name of a VM, as a sentence; None where nothing is."""
    if _RULE.fullmatch(name):
        return None
    return f"VM names begin with what the VM is for, {', '.join(f'{purpose}-' for purpose in PURPOSES)}; {name!r} does not."

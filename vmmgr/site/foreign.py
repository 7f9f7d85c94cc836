"""Inventories that only Ansible can read, through ``ansible-inventory`` of the workstation."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError
from vmmgr.site.values import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# seconds; a dynamic inventory may ask a service in the network
TIMEOUT = 60


def ask_ansible(sources: Sequence[Path], found: str, environ: Mapping[str, str]) -> dict[str, object]:
    """Return what ``ansible-inventory --list`` says about the sources: groups, and ``_meta`` with all variables.

    Args:
        sources: inventory files and folders.
        found: why Ansible is needed, as the beginning of a sentence.
        environ: for the program; its PATH is searched.

    Raises:
        ConfigurationError: it is not installed, fails, takes too long, or prints something unexpected.
    """
    program = shutil.which("ansible-inventory", path=environ.get("PATH", ""))
    if program is None:
        raise ConfigurationError(
            f"{found}; only Ansible reads that, and ansible-inventory is not installed here. Install ansible-core, or write "
            "the inventory as YAML (where Ansible is installed: ansible-inventory -i INVENTORY --list --yaml)."
        )
    command = [program, *(part for source in sources for part in ("-i", str(source))), "--list"]
    # a source that cannot be parsed is a mere warning otherwise
    strict = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "ANSIBLE_NOCOLOR": "1"}
    try:
        done = subprocess.run(
            command, env={**environ, **strict}, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"{found}, and ansible-inventory did not finish within {TIMEOUT} s.") from None
    except OSError as error:
        raise ConfigurationError(f"{found}, and {program} cannot be started: {error.strerror}.") from None
    if done.returncode:
        # the warnings have the cause, the error only says that there was one
        lines = done.stderr.decode(errors="replace").splitlines()
        reasons = [line.strip() for line in lines if line.startswith(("[WARNING]", "[ERROR]", "ERROR!"))]
        reason = printable("; ".join(reasons))[:1000] or f"exit code {done.returncode}"
        raise ConfigurationError(f"{found}, and ansible-inventory failed: {reason}")
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ConfigurationError(f"{found}, and ansible-inventory printed no JSON object.")
    return answer

"""Runs what ``--dry-run`` printed, with tools that do nothing but note what they were given."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_RECORDER = """#!{python} -IS
import json, os, sys
call = os.environ["HOST"], [os.path.basename(sys.argv[0]), *sys.argv[1:]], sys.stdin.buffer.read().decode()
with open({calls!r}, "a") as file:
    print(json.dumps(call), file=file)
"""
_TOOLS = ("sh", "rbd", "rados", "ceph", "cibadmin", "crm_resource", "crm", "pcs", "rm", "virsh")


def pasted(text: str, folder: Path) -> list[tuple[str, list[str], str]]:
    """Give the text to a shell, and return the host, the arguments and the input of each command that it runs."""
    script, _, _ = text.partition("# The configuration of the cluster in the end:")
    script = re.sub(r"^# On (\S+):$", r"export HOST=\1", script.partition("\nIt would end with: ")[0], flags=re.MULTILINE)
    calls, recorder, tools, file = folder / "calls", folder / "recorder", folder / "tools", folder / "script"
    file.write_text(script)
    recorder.write_text(_RECORDER.format(python=sys.executable, calls=str(calls)))
    recorder.chmod(0o755)
    tools.mkdir()
    for tool in _TOOLS:
        (tools / tool).symlink_to(recorder)
    command, environment = ["/bin/sh", "-e", file], {"PATH": str(tools)}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return [tuple(json.loads(line)) for line in calls.read_text().splitlines()]

#!/usr/bin/python3
"""A virsh with one domain, whose guest is this machine: what qemu-ga 7.2 and virsh 9.0.0 say, and what a hostile guest might.

The folder that it lies in holds ``calls``, the command lines that it had, ``file`` and ``mode``, where data was written to and who may
look there, and what is to go wrong: ``refuses`` (virsh's error for the
next requests), ``answers`` (what guest-exec-status says instead) and ``pending`` (how often it says that nothing has ended).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def note(name: str) -> str:
    """Return what a file of the folder says."""
    file = HERE / name
    return file.read_text() if file.exists() else ""


def execute(arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end; its answer is kept for later."""
    command = [arguments["path"], *arguments["arg"]]
    done = subprocess.run(command, input=b64decode(arguments["input-data"]), capture_output=True, check=False)
    ended: dict[str, Any] = {"exited": True}
    ended |= {"signal": -done.returncode} if done.returncode < 0 else {"exitcode": done.returncode}
    for key, data in (("out-data", done.stdout), ("err-data", done.stderr)):
        ended |= {key: b64encode(data).decode()} if data else {}
    (HERE / "ended").write_text(json.dumps({"return": ended}, separators=(",", ":")))
    return {"pid": 1234}


def status() -> str:
    """Return how far the program is."""
    if answers := note("answers"):
        return answers
    if pending := int(note("pending") or 0):
        (HERE / "pending").write_text(str(pending - 1))
        return '{"return":{"exited":false}}'
    return note("ended")


def ask(text: str) -> str:
    """Answer one request."""
    request = json.loads(text)
    arguments = request.get("arguments", {})
    match request["execute"]:
        case "guest-exec":
            value: Any = execute(arguments)
        case "guest-exec-status":
            return status()
        case "guest-file-open":
            file = Path(arguments["path"])
            file.write_bytes(b"")
            file.chmod(0o666)  # as the real one does
            (HERE / "file").write_text(str(file))
            (HERE / "mode").write_text(f"{file.parent.stat().st_mode & 0o777:o}")
            value = 1000
        case "guest-file-write":
            data = b64decode(arguments["buf-b64"], validate=True)
            with Path(note("file")).open("ab") as opened:
                opened.write(data)
            value = {"count": len(data), "eof": False}
        case _:
            value = {}
    return json.dumps({"return": value}, separators=(",", ":"))


def run(words: list[str]) -> int:
    """Run one command of virsh."""
    if words[0] == "domuuid":
        print("b97dbb77-1e21-46bc-99c2-18316076253e\n")
        return 0
    text = words[words.index("--cmd") + 1]
    refuses = note("refuses")
    if refuses and (not note("only") or note("only") in text):
        print(f"error: {refuses}", file=sys.stderr)
        return 1
    print(ask(text))
    return 0


def main() -> int:
    """Run the command line, or those on standard input, which readline shows again."""
    with (HERE / "calls").open("a") as calls:
        calls.write(shlex.join(sys.argv[1:]) + "\n")
    if sys.argv[1:] != ["--quiet"]:
        return run(sys.argv[1:])
    for line in sys.stdin:
        print(f"virsh # <{line[-50:-1]}", flush=True)
        run(shlex.split(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())

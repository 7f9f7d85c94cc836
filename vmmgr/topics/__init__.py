"""Texts on what concerns several commands: ``vm-mgr help TOPIC`` prints them, and the documentation has them as pages."""

from __future__ import annotations

from importlib.resources import files

TOPICS = ("exit-codes", "shell-completion", "site", "statuses")


def topic(name: str) -> str:
    """Return a text of ``TOPICS`` for a terminal: reStructuredText that needs little change to be read as it is."""
    source = files(__name__).joinpath(f"{name}.rst").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if not line.startswith(".. ")]
    return "\n".join(lines).replace("``", "`").replace("::\n", ":\n")

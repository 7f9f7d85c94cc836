"""Text that comes from elsewhere, made fit for a terminal: nodes, images and files may hold what would steer it."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with everything but its line breaks and what a terminal shows written as an escape.

    Control characters, those that turn the direction of writing, and lone surrogates become ``\x1b``, ``\u202e``, ``\udc80``.
    """
    return "\n".join(one_line(line) for line in text.split("\n"))


def one_line(text: str) -> str:
    """Return the text like ``printable``, line breaks written as escapes too, for a cell of a table."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

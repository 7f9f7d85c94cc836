"""The metadata of an image, as ``rbd --format=json image-meta list`` tells it.

Tried on Ceph 16.2.15: values are escaped as JSON wants it, but bytes that are no UTF-8 come as they are, and so do all keys, a
quotation mark or a line break in them included. Nothing at all is printed where there is no metadata.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError, succeeded
from vmmgr.drivers.rbd.commands import NO_SUCH_IMAGE

if TYPE_CHECKING:
    from vmmgr.remote.batch import Result

# A key as it is, up to what looks like its end, and an escaped value.
_PAIR = re.compile(r'"(?P<key>.*?)":(?P<value>"(?:[^"\\]|\\.)*")(?=,"|}\Z)', re.DOTALL)


def parse_metadata(result: Result) -> dict[str, str]:
    """Read the answer; an image that is not there has no metadata.

    Raises:
        CommandFailedError: The command failed, or its answer makes no sense.
    """
    if result.exit_code == NO_SUCH_IMAGE:
        return {}
    succeeded(result)
    try:
        return read_metadata(result.stdout.decode(errors="surrogateescape"))
    except (ValueError, TypeError, RecursionError) as error:
        raise CommandFailedError(result) from error


def read_metadata(text: str) -> dict[str, str]:
    """Read the document; bytes that are no UTF-8 are lone surrogates (PEP 383), with which they can be written back.

    Raises:
        ValueError: It is none; or ``TypeError``, or ``RecursionError``.
    """
    text = text.strip()
    if not text:
        return {}
    try:
        pairs = json.loads(text)
    except json.JSONDecodeError:
        return _pairs_with_bare_keys(text)
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        raise TypeError("no object of texts")
    return pairs


def _pairs_with_bare_keys(text: str) -> dict[str, str]:
    """Read an object whose keys are not escaped.

    Raises:
        ValueError: It is none.
    """
    pairs: dict[str, str] = {}
    separator, position = "{", 0
    while text[position:] != "}":
        match = _PAIR.match(text, position + 1) if text[position : position + 1] == separator else None
        if match is None:
            raise ValueError(f"no pair at character {position}")
        pairs[match["key"]] = json.loads(match["value"])
        separator, position = ",", match.end()
    return pairs

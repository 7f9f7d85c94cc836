"""From a path on the command line to an open disk image, or to one sentence that says why not."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vmmgr.errors import UsageError
from vmmgr.images.convert import convert
from vmmgr.images.disk import DiskImage, RawImage
from vmmgr.images.formats import HEAD, TAIL, detect
from vmmgr.images.qcow2 import Qcow2Image, read_header, reason_to_convert

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("raw", "qcow2")  # that can be named; every other one is recognised by its content

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISFIFO, "a pipe"),
)


@contextmanager
def open_image(path: Path, image_format: str | None = None) -> Iterator[DiskImage]:
    """Open a disk image for reading; a format that vm-mgr does not read itself is converted for as long as it is open.

    Args:
        path: a regular file.
        image_format: one of ``FORMATS``, or None to look at the content.

    Raises:
        UsageError: The file cannot be used as a disk image; the message says why and what to do.
        VmMgrError: The conversion by qemu-img failed.
    """
    if image_format not in {None, *FORMATS}:
        raise UsageError(
            f"{image_format!r} is no image format that can be named: use {' or '.join(FORMATS)}, or leave it out, as the "
            "others are recognised by their content."
        )
    with ExitStack() as stack:
        file = stack.enter_context(_open(path))
        found = _format(path, file, image_format)
        if found == "raw":
            yield RawImage(path, file)
            return
        way_out = "install qemu-img (package qemu-utils or qemu-img) on this workstation, or convert it to qcow2 elsewhere"
        if found == "qcow2":
            header = read_header(path, file)
            reason = reason_to_convert(header)
            if not reason:
                yield Qcow2Image(path, file, header)
                return
            way_out = f"{reason}; `pip install 'vm-mgr[qcow2]'`, or {way_out}"
        folder = Path(stack.enter_context(_roomy_folder()))
        yield RawImage(path, stack.enter_context(_open(convert(path, found, folder, way_out))), found)


def _roomy_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the copy of a disk: not in /tmp, which is often memory, unless the user wants it there."""
    parent = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 - a folder of its own is made in it
    try:
        return tempfile.TemporaryDirectory(prefix="vm-mgr-", dir=parent)
    except OSError as error:
        raise UsageError(f"No temporary folder can be made in {parent!r}: {error.strerror}; set TMPDIR to another.") from error


def _open(path: Path) -> BinaryIO:
    """Open a regular file that is not empty; unbuffered, and without waiting for the other end of a pipe."""
    name = f"The disk image {str(path)!r}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(f"{name} cannot be opened: {getattr(error, 'strerror', error)}.") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "an empty file")
    raise UsageError(f"{name} is {kind}: give a regular file that holds a disk.")


def _format(path: Path, file: BinaryIO, demanded: str | None) -> str:
    """Return the format to read the file as; what it holds decides, unless raw is demanded."""
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    found = demanded
    if demanded != "raw":
        found = detect(str(path), os.pread(descriptor, HEAD, 0), os.pread(descriptor, TAIL, max(0, size - TAIL)))
    if demanded and found != demanded:
        raise UsageError(f"{str(path)!r} is not {demanded} but {found}: leave out the format.")
    if found == "raw" and size % 512:
        raise UsageError(
            f"{str(path)!r} has {size} bytes, which is no multiple of 512, so it is truncated or no raw image: fetch it again, "
            "or if it is complete, pad it with `truncate -s %512 FILE`."
        )
    return str(found)

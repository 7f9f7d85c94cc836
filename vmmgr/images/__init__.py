"""Disk images on the workstation, read as a stream that ``rbd import-diff`` on a node understands.

A qcow2 or raw file is read here, where it is, and only its non-zero data cross the link: nothing is copied to a node first,
and the node needs no qemu-img. The road of the bytes: :func:`open_image` → :meth:`DiskImage.extents` → :class:`DiffStream`
→ :func:`compress` → the channel.
"""

from vmmgr.images.diff import DiffStream, available_compressions, compress
from vmmgr.images.disk import DiskImage
from vmmgr.images.opening import FORMATS, open_image

__all__ = ["FORMATS", "DiffStream", "DiskImage", "available_compressions", "compress", "open_image"]

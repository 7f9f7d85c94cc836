"""RBD's incremental diff format, version 1 (Ceph's doc/dev/rbd-diff.rst), and its compression for the link.

``rbd import-diff - POOL/IMAGE`` reads it. All numbers are little-endian. A stream without the final record makes
import-diff fail, so a stream that breaks off is never taken for a complete image.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from typing import TYPE_CHECKING, Protocol

from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vmmgr.images.disk import DiskImage

_BLOCK = 256 << 10  # bytes; smaller records are joined to blocks of at least this size, larger ones are never copied


class DiffStream:
    """One image as a diff against an empty RBD image: iterate over it for blocks of bytes to send.

    Attributes:
        size: bytes yielded so far.
    """

    def __init__(self, image: DiskImage, progress: Callable[[int], None] | None = None) -> None:
        """Prepare to read ``image``; ``progress`` is told the bytes read so far, of ``image.allocated``."""
        self._image, self._progress = image, progress
        self._hash, self.size = hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes yielded so far; after the last one, of the whole stream before compression."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the stream: what is small in blocks of hardly more than 256 KiB, and large data, up to 4 MiB, as they were read.

        Raises:
            VmMgrError: The image cannot be read on; what was sent must be thrown away.
        """
        self._hash, self.size = hashlib.sha256(), 0
        parts: list[bytes | memoryview] = [b"rbd diff v1\n", struct.pack("<cQ", b"s", self._image.virtual_size)]
        pending = 0
        for offset, data in self._image.extents():
            parts.append(struct.pack("<cQQ", b"w", offset, len(data)))
            if len(data) >= _BLOCK:
                yield self._block(b"".join(parts))
                yield self._block(data)
                parts, pending = [], 0
                continue
            parts.append(data)
            pending += len(data)
            if pending >= _BLOCK:
                yield self._block(b"".join(parts))
                parts, pending = [], 0
        yield self._block(b"".join([*parts, b"e"]))

    def _block(self, block: bytes | memoryview) -> bytes | memoryview:
        self._hash.update(block)
        self.size += len(block)
        if self._progress:
            self._progress(self._image.done)
        return block


class _Compressor(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


def available_compressions() -> tuple[str, ...]:
    """Return the compressions that this workstation can do, the best first."""
    try:
        _zstd()
    except ImportError:
        return ("gzip",)
    return ("zstd", "gzip")


def compress(stream: Iterable[bytes | memoryview], method: str) -> Iterator[bytes]:
    """Yield ``stream`` as one gzip file or one zstd frame, compressed fast rather than small.

    Raises:
        UsageError: ``method`` is not one of ``available_compressions()``.
    """
    compressor = _compressor(method)

    def blocks() -> Iterator[bytes]:
        for block in stream:
            if packed := compressor.compress(block):
                yield packed
        yield compressor.flush()

    return blocks()


def _compressor(method: str) -> _Compressor:
    if method not in available_compressions():
        raise UsageError(
            f"This workstation cannot compress with {method!r}: use one of {', '.join(available_compressions())} "
            "(zstd needs Python 3.14 or the package backports.zstd)."
        )
    return zlib.compressobj(level=1, wbits=31) if method == "gzip" else _zstd()


def _zstd() -> _Compressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    compressor: _Compressor = zstd.ZstdCompressor(level=1)
    return compressor

"""What a file is, by its content: a disk image of which format, or none."""

from __future__ import annotations

from vmmgr.errors import UsageError

HEAD = 68 << 10  # bytes from the start that detect() wants to see: the superblock of btrfs ends the table
TAIL = 512  # bytes from the end

_ARCHIVES = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
# Magic numbers of QEMU's block drivers: (offset, magic, name of the driver).
_CONTAINERS = (
    (0, b"QFI\xfb\0\0\0\x01", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
)
# What the start of a disk looks like: a partition table, or a file system (or volume manager) without one.
_RAW = (
    (510, b"\x55\xaa"),  # MBR, FAT, NTFS
    (512, b"EFI PART"),  # GPT
    (4096, b"EFI PART"),  # GPT with sectors of 4 KiB
    (1080, b"\x53\xef"),  # ext2, ext3, ext4
    (0, b"XFSB"),
    (65600, b"_BHRfS_M"),  # btrfs
    (32769, b"CD001"),  # ISO 9660
    (32769, b"BEA01"),  # UDF
    (512, b"LABELONE"),  # LVM
    (4086, b"SWAPSPACE2"),
    (0, b"hsqs"),  # squashfs
    (0, b"LUKS\xba\xbe"),
    (1024, b"\x10\x20\xf5\xf2"),  # F2FS
    (1024, b"\xe2\xe1\xf5\xe0"),  # EROFS
    (4096, b"\xfc\x4e\x2b\xa9"),  # Linux software RAID 1.2
)


def detect(name: str, head: bytes, tail: bytes) -> str:
    """Return "raw", "qcow2" or the name of another QEMU block driver.

    Args:
        name: the file, for messages.
        head: its first ``HEAD`` bytes, fewer if it is smaller.
        tail: its last ``TAIL`` bytes: a VHD of fixed size is a raw disk with a footer.

    Raises:
        UsageError: It is an archive, or nothing known.
    """
    for magic, archive in _ARCHIVES.items():
        if head.startswith(magic):
            raise UsageError(f"{name!r} is {archive}, not a disk image: unpack it first.")
    if head.startswith(b"ustar", 257):
        raise UsageError(f"{name!r} is a tar archive (as an OVA file is), not a disk image: unpack it first.")
    for offset, magic, container in _CONTAINERS:
        if head.startswith(magic, offset):
            return container
    if tail.startswith(b"conectix"):
        return "vpc"
    if any(head.startswith(magic, offset) for offset, magic in _RAW):
        return "raw"
    raise UsageError(
        f"{name!r} looks like no disk image: it has neither the signature of a known format, nor a partition table, nor a "
        "known file system; if it is a raw image all the same, say so with `--image-format raw`."
    )

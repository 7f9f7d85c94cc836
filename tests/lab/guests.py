"""The guests: ``tiny.qcow2`` (kernel, busybox, dropbear; up in seconds) and ``debian.qcow2`` (systemd, sshd, guest agent).

``packages`` beside them has what a package source would have for the Debian guest, to make it a node of Pacemaker.

They are written into plain files, without a loop device or a mount. Both boot the same kernel and initial RAM disk; tiny
never leaves it. A guest reads its address in its MAC (``plan.guest_mac``), so one image serves every lab.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from . import debian
from .build import FILES, base_folder, build_once, digest
from .debian import debootstrap, download, suite
from .report import run

PACKAGES = (
    "systemd-sysv", "dbus", "udev", "procps", "kmod", "iproute2", "iputils-ping", "openssh-server", "python3-minimal",
    "qemu-guest-agent", "linux-image-cloud-amd64", "busybox-static", "dropbear-bin",
    "tiny-initramfs",  # the kernel wants some maker of initial RAM disks; this is the smallest, and it goes unused
    # what a guest of any use has anyway; unpacking it there would take the software emulation a minute
    "python3", "gawk", "bc", "libcurl4", "libxslt1.1", "libsnmp40", "libncurses6", "libltdl7", "libopenhpi3",
)  # fmt: skip
REMOTE = ("pacemaker-remote", "resource-agents")
# ext4 is built in to this kernel
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_scsi", "sd_mod", "virtio_rng",
    "virtio_balloon", "button", "evdev",
)  # fmt: skip
KERNEL_OPTIONS = "console=ttyS0,115200 quiet panic=5 tsc=reliable no_timer_check random.trust_cpu=on mitigations=off"
RECIPE = tuple(FILES / name for name in ("guest-init.sh", "guest-address.sh", "guest-setup.sh"))
MIB = 1 << 20
BOOT_START, ROOT_START, DEBIAN_SIZE = 1, 41, 1024  # MiB


def path(client_key: Path) -> Path:
    """Return where the images made from this recipe are, or will be; they let that public key in."""
    words = (suite(), " ".join(PACKAGES + REMOTE + MODULES), KERNEL_OPTIONS)
    return base_folder() / f"guests-{digest(*words, client_key, Path(__file__), Path(debian.__file__), *RECIPE)}"


def build(client_key: Path) -> None:
    """Make the images unless they are there."""
    build_once(path(client_key), partial(_make, client_key=client_key))


def _make(work: Path, log: Path, *, client_key: Path) -> None:
    """Make both images."""
    tree = work / "tree"
    debootstrap(tree, "minbase", PACKAGES, log)
    sh = partial(_shell, cwd=work, log=log)
    _initrd(tree, work / "initrd", client_key, log)
    sh("cd initrd && find . | cpio -o -H newc --quiet | gzip -6 > ../initrd.gz")
    shutil.copy(next((tree / "boot").glob("vmlinuz-*")), work / "vmlinuz")
    _boot_disk(work, "tiny.raw", 24, "", log)
    run(["chroot", tree, "sh", "-s"], step="guest-setup.sh", log=log, stdin=RECIPE[2].read_text())
    shutil.copy(RECIPE[1], tree / "usr/local/sbin/lab-address")
    shutil.copy(client_key, tree / "root/.ssh/authorized_keys")
    _debian_disk(work, log)
    # what the guest lacks to be a node of Pacemaker
    download(REMOTE, tree / "var/lib/dpkg/status", work / "packages", log)
    for name in ("tiny", "debian"):
        sh(f"qemu-img convert -f raw -O qcow2 {name}.raw {name}.qcow2")
    for name in ("tree", "initrd"):
        shutil.rmtree(work / name)
    for name in ("tiny.raw", "debian.raw", "boot.raw", "root.raw", "initrd.gz", "vmlinuz"):
        (work / name).unlink()


def _shell(script: str, *, cwd: Path, log: Path) -> None:
    """Run a line of shell in a folder."""
    run(["sh", "-c", f"set -e; cd {cwd}; {script}"], step=script, log=log)


def _initrd(tree: Path, target: Path, client_key: Path, log: Path) -> None:
    """Lay out the initial RAM disk: busybox, dropbear and its libraries, the modules in the order of their loading."""
    for name in ("bin", "proc", "sys", "dev", "etc/dropbear", "root/.ssh", "lib/modules", "mnt", "run", "tmp"):
        (target / name).mkdir(parents=True)
    for program in ("bin/busybox", "usr/sbin/dropbear", "usr/bin/dropbearkey"):
        shutil.copy(tree / program, target / "bin")
    _modules(tree, target / "lib/modules")
    linked = run(["chroot", tree, "ldd", "/usr/sbin/dropbear"], step="ldd dropbear")
    for library in {word for word in linked.split() if word.startswith("/lib")} | {"/lib/x86_64-linux-gnu/libnss_files.so.2"}:
        (target / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / library[1:], target / library[1:])
    (target / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    (target / "etc/group").write_text("root:x:0:\n")
    (target / "etc/shells").write_text("/bin/sh\n")
    shutil.copy(client_key, target / "root/.ssh/authorized_keys")
    for name, mode in (("root", 0o700), ("root/.ssh", 0o700), ("root/.ssh/authorized_keys", 0o600)):
        (target / name).chmod(mode)
    run(["chroot", tree, "dropbearkey", "-t", "ed25519", "-f", "/tmp/key"], step="dropbearkey", log=log)
    shutil.move(tree / "tmp/key", target / "etc/dropbear/dropbear_ed25519_host_key")
    shutil.copy(RECIPE[0], target / "init")
    shutil.copy(RECIPE[1], target / "bin/lab-address")
    for script in ("init", "bin/lab-address"):
        (target / script).chmod(0o755)


def _modules(tree: Path, target: Path) -> None:
    """Copy the kernel modules and list them in ``order``, in which they can be loaded."""
    release = next((tree / "lib/modules").iterdir()).name
    order: list[str] = []
    for module in MODULES:
        command: list[str | Path] = ["chroot", tree, "modprobe", "-S", release, "--show-depends", module]
        for line in run(command, step=f"modprobe {module}").splitlines():
            kind, _, file = line.strip().partition(" ")
            if kind == "insmod" and Path(file.strip()).name not in order:
                shutil.copy(tree / file.strip()[1:], target)
                order.append(Path(file.strip()).name)
    (target / "order").write_text("\n".join(order) + "\n")


def _boot_disk(work: Path, name: str, size: int, options: str, log: Path) -> None:
    """Make a FAT file system of that many MiB with boot loader configuration, kernel and initial RAM disk."""
    (work / "syslinux.cfg").write_text(
        "SERIAL 0 115200\nDEFAULT lab\nPROMPT 0\nTIMEOUT 1\nLABEL lab\n  KERNEL vmlinuz\n"
        f"  APPEND initrd=initrd.gz {KERNEL_OPTIONS} {options}\n"
    )
    script = f"truncate -s {size}M {name}; mkfs.vfat {name}; mcopy -i {name} vmlinuz initrd.gz syslinux.cfg ::"
    _shell(script, cwd=work, log=log)
    if name == "tiny.raw":  # a disk without partitions: the file system's first sector boots
        _shell(f"syslinux --install {name}", cwd=work, log=log)


def _debian_disk(work: Path, log: Path) -> None:
    """Make a disk of two partitions: the boot loader's, and the tree as ext4."""
    _boot_disk(work, "boot.raw", ROOT_START - BOOT_START, "labroot=LABEL=labroot", log)
    start, boot = BOOT_START * 2048, (ROOT_START - BOOT_START) * 2048  # sectors
    script = f"""
        truncate -s {DEBIAN_SIZE - ROOT_START - 1}M root.raw; truncate -s {DEBIAN_SIZE}M debian.raw
        mke2fs -q -t ext4 -O ^metadata_csum,^huge_file -m0 -L labroot -d tree root.raw
        printf 'label: dos\\nstart={start},size={boot},type=c,bootable\\nstart={start + boot},type=83\\n' | sfdisk -q debian.raw
        dd if=boot.raw of=debian.raw bs=1M seek={BOOT_START} conv=notrunc,sparse
        dd if=root.raw of=debian.raw bs=1M seek={ROOT_START} conv=notrunc,sparse
        dd if=/usr/lib/syslinux/mbr/mbr.bin of=debian.raw bs=440 count=1 conv=notrunc
        syslinux --install --offset {BOOT_START * MIB} debian.raw"""
    _shell(script, cwd=work, log=log)

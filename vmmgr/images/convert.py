"""Images that vm-mgr does not read itself become sparse raw files through qemu-img, if the workstation has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.images.disk import MAX_SIZE

if TYPE_CHECKING:
    from pathlib import Path


def convert(path: Path, image_format: str, folder: Path, way_out: str) -> Path:
    """Convert an image to a sparse raw file in ``folder`` and return that file.

    Args:
        path: the image.
        image_format: name of its QEMU block driver; never left for qemu-img to guess.
        folder: where the raw file goes; it needs room for the image's data.
        way_out: what to do, as the end of a sentence, when qemu-img is not installed.

    Raises:
        UsageError: There is no qemu-img, it cannot read the image, or the image consists of several files.
        VmMgrError: The conversion failed.
    """
    if shutil.which("qemu-img") is None:
        raise UsageError(f"{str(path)!r} is {image_format} and cannot be read here: {way_out}.")
    _check_alone(path, image_format, _info(path, image_format))
    target = folder / "disk.raw"
    done = _qemu_img("convert", "-f", image_format, "-O", "raw", "--", str(path.resolve()), str(target))
    if done.returncode:
        raise VmMgrError(
            f"qemu-img cannot convert {str(path)!r} to raw: {_said(done)} (the copy was made in {str(folder)!r}; "
            "set TMPDIR to a folder with more room if that is the reason)."
        )
    return target


def _info(path: Path, image_format: str) -> dict[str, Any]:
    done = _qemu_img("info", "--output=json", "-f", image_format, "--", str(path.resolve()))
    if done.returncode:
        raise UsageError(f"qemu-img cannot read {str(path)!r} as {image_format}: {_said(done)}.")
    info: dict[str, Any] = json.loads(done.stdout)
    return info


def _check_alone(path: Path, image_format: str, info: dict[str, Any]) -> None:
    """Refuse an image that names further files: a hostile one could so carry off any file of the user (CVE-2022-47951)."""
    extents = info.get("format-specific", {}).get("data", {}).get("extents", [])
    named = {info.get("backing-filename"), *(extent.get("filename") for extent in extents)} - {None, str(path.resolve())}
    if named:
        raise UsageError(
            f"{str(path)!r} is {image_format} and needs other files ({', '.join(map(repr, sorted(named)))}): if they are the "
            "right ones, make one complete image with `qemu-img convert -O qcow2 OLD NEW`, and give that."
        )
    if info["virtual-size"] > MAX_SIZE:
        raise UsageError(f"{str(path)!r} claims a virtual size of {info['virtual-size']} bytes: at most 16 TiB are accepted.")


def _qemu_img(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["qemu-img", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the last line of qemu-img's complaint without control characters."""
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return "".join(filter(str.isprintable, lines[-1])).removeprefix("qemu-img: ").rstrip(".")

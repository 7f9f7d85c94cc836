"""Records what the real apt, dnf and zypper say to the templates for guests, for ``tests/data``: ``python -m tests.recording``.

As root, on Debian 12 with its package sources, which have all three; each gets a root folder of its own, with small packages that have
the names and needs of the real ones and nothing in them. Takes some five minutes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vmmgr.rendering import Renderer

DATA = Path(__file__).parent / "data"
TOOLS = ("apt-get", "apt-cache", "dpkg-query", "dnf", "rpm", "zypper")
# What each package manager is installed with; for dnf's plugin `download` and zypper's file conflicts, both cannot be on one machine.
INCLUDE = {"apt": "", "dnf": "dnf,rpm,dnf-plugins-core,createrepo-c,gnupg", "zypper": "zypper,rpm,createrepo-c,gnupg"}
SYSTEM = ("glibc", "bash", "systemd", "dnf", "zypper")
WANTED = ("pacemaker-remote", "resource-agents")
# Name, version and what it needs; the first are the system, and the last two exclude each other.
PACKAGES = (
    ("glibc", "2.34", ""), ("bash", "5.1.8", "glibc"), ("systemd", "252", "bash"), ("dnf", "4.14.0", "bash"), ("zypper", "1.14.42", "bash"),
    ("libqb", "2.0.8", "glibc"), ("pacemaker-libs", "2.1.7", "libqb"), ("pacemaker-remote", "2.1.7", "pacemaker-libs resource-agents"),
    ("gawk", "5.1.0", "glibc"), ("resource-agents", "4.10.0", "bash gawk libcurl.so.4"), ("booth", "1.1", "libqb"),
    ("libcurl-minimal", "7.76.1", "glibc"), ("libcurl", "7.76.1", "glibc"),
)  # fmt: skip
CURL = {"libcurl": "libcurl-minimal", "libcurl-minimal": "libcurl"}
WRAPPER = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
call=/calls/$(ls /calls | wc -l); mkdir "$call"
printf '%s\\0' "${0##*/}" "$@" > "$call/argv"
"${0##*/}" "$@" > "$call/stdout" 2> "$call/stderr"; code=$?
cat "$call/stdout"; cat "$call/stderr" >&2; echo "$code" > "$call/code"; exit "$code"
"""
KEY = "Key-Type: RSA\nKey-Length: 2048\nName-Real: Stand-in\nExpire-Date: 0\n%no-protection\n%commit\n"
RPMS = f"""
export GNUPGHOME=/made/gnupg; mkdir -p -m 700 $GNUPGHOME /repo /folder; cd /made
printf %s '{KEY}' | gpg --batch --quiet --gen-key; gpg --export --armor > /made/key
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros; echo '%__gpg /usr/bin/gpg' >> /etc/rpm/macros; mkdir -p /var/lib/rpm
for spec in *.spec; do rpmbuild --quiet -bb --define '_topdir /made' --define '_rpmdir /made' "$spec" || exit; done
cp -r x86_64 unsigned; rpmsign --define '_gpg_name Stand-in' --addsign x86_64/*.rpm || exit; gpgconf --kill all
cp x86_64/*.rpm /repo; rm /repo/*-2.30-*; createrepo_c --quiet /repo; rpm --install {" ".join(f"x86_64/{name}-[0-9]*" for name in SYSTEM[1:])} x86_64/glibc-2.34*
cp x86_64/*.rpm /folder; rm /folder/booth* /folder/libcurl-minimal* /folder/*-2.30-*
"""
DEBS = """
mkdir -p /repo /folder; cd /made
for name in */; do dpkg-deb --build --root-owner-group "$name" "/repo/${name%/}_1_amd64.deb" || exit; done
cp /repo/*.deb /folder; rm /folder/booth* /folder/libcurl-minimal* /folder/glibc-old*
"""
SOURCES = {
    "apt": "echo 'deb [trusted=yes] file:/repo ./' > /etc/apt/sources.list",
    "dnf": "printf '[site]\\nname=Site\\nbaseurl=file:///repo\\ngpgcheck=1\\ngpgkey=file:///made/key\\n' > /etc/yum.repos.d/site.repo; dnf -q makecache",
    "zypper": "rpm --import /made/key; zypper -q addrepo --gpgcheck-allow-unsigned-repo dir:/repo site",
}  # fmt: skip
NO_SOURCES = {
    "apt": "echo > /etc/apt/sources.list; rm -rf /var/lib/apt/lists/*",
    "dnf": "rm /etc/yum.repos.d/*; dnf -q clean all",
    "zypper": "zypper -q removerepo site",
}  # fmt: skip
ADD = {"apt": "apt-get -qq -y install", "dnf": "dnf -q -y install", "zypper": "zypper -q -n install"}
ERASE = {"apt": "dpkg --force-depends --purge", "dnf": "rpm --erase --nodeps", "zypper": "rpm --erase --nodeps"}
UNTRUSTED = {
    "dnf": "rpm --erase $(rpm -q gpg-pubkey); echo localpkg_gpgcheck=1 >> /etc/dnf/dnf.conf",
    "zypper": "rpm --erase $(rpm -q gpg-pubkey)",
}
UNSIGNED = "rpm --import /made/key; cp /made/unsigned/* /folder; rm /folder/booth* /folder/libcurl-minimal* /folder/*-2.30-*"
OLDER = {
    "apt": "cp /repo/glibc-old* /folder",
    "dnf": "cp /made/x86_64/glibc-2.30* /folder",
    "zypper": "cp /made/x86_64/glibc-2.30* /folder",
}


class Guest:
    """A root folder with one package manager.

    Attributes:
        name: Of the package manager.
        root: The folder.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root
        include = [f"--include={INCLUDE[name]}"] if INCLUDE[name] else []
        subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", *include, "bookworm", root], check=True)
        for folder in ("made", "wrapped", "calls", "etc/rpm", "etc/yum.repos.d", "etc/dnf/vars"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for tool in TOOLS:
            (root / "wrapped" / tool).write_text(WRAPPER)
            (root / "wrapped" / tool).chmod(0o755)
        if name == "apt":
            self._debs()
        else:
            self._rpms()

    def sh(self, script: str) -> str:
        """Run a script in it."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "DEBIAN_FRONTEND": "noninteractive",
            "HOME": "/root",
        }
        argv = ["chroot", self.root, "sh", "-c", script]
        done = subprocess.run(argv, check=False, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def record(self, verb: str, setup: str = "true", folder: str = "", packages: tuple[str, ...] = WANTED) -> dict[str, Any]:
        """Run a template, and return what became of it, with each call of a tool in it."""
        self.sh(f"{setup}; rm -rf /calls/*")
        values = {"record": "/var/lib/vm-mgr/packages", "folder": folder, "packages": list(packages), "package": packages[0]}
        before = self._written()
        argv = ["chroot", self.root, *Renderer().argv(f"{self.name}/{verb}", **values)]
        environment = {"PATH": "/wrapped:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        done = subprocess.run(argv, check=False, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        calls = sorted((self.root / "calls").iterdir(), key=lambda call: int(call.name))
        result = {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
        return {
            "verb": verb,
            "values": values,
            **result,
            "record": [before, self._written()],
            "calls": [_call(call) for call in calls],
        }

    def _written(self) -> str:
        """Return what is written down of packages that were installed."""
        file = self.root / "var/lib/vm-mgr/packages"
        return file.read_text() if file.exists() else ""

    def _rpms(self) -> None:
        """Build, sign and install."""
        for package, version, needs in (*PACKAGES, ("glibc", "2.30", "")):
            lines = [
                f"Name: {package}",
                f"Version: {version}",
                "Release: 1.el9",
                "Summary: Stand-in",
                "License: Apache-2.0",
                "AutoReqProv: no",
            ]
            lines += [f"Requires: {need}" for need in needs.split()]
            lines += ["Provides: libcurl.so.4", f"Conflicts: {CURL[package]}"] if package in CURL else []
            lines += ["%description", "Stand-in.", "%files"]
            (self.root / f"made/{package}-{version}.spec").write_text("\n".join(lines) + "\n")
        (self.root / "etc/dnf/vars/releasever").write_text("9\n")
        local = self.root / "etc/dnf/plugins/local.conf"
        if local.exists():  # Debian's dnf would make a repository of its own out of all that it installs
            local.write_text("[main]\nenabled = false\n")
        self.sh(RPMS)

    def _debs(self) -> None:
        """Build, and write the index of the repository."""
        for package, version, needs in PACKAGES[5:]:
            depends = ", ".join(need for need in needs.split() if need not in SYSTEM)
            self._deb(package, f"{package}", version, depends)
        self._deb("glibc-old", "libc-bin", "2.30", "")
        self.sh(DEBS)
        entries = []
        for file in sorted((self.root / "repo").glob("*.deb")):
            control = self.sh(f"dpkg-deb --field /repo/{file.name}")
            entries.append(
                f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
            )
        (self.root / "repo/Packages").write_text("\n".join(entries))
        self.sh(f"{NO_SOURCES['apt']}; rm -f /repo/glibc-old*")

    def _deb(self, folder: str, package: str, version: str, depends: str) -> None:
        """Lay out a package."""
        lines = [
            f"Package: {package}",
            f"Version: {version}",
            "Architecture: amd64",
            "Maintainer: Nobody",
            "Description: Stand-in",
        ]
        lines += [f"Depends: {depends}"] if depends else []
        lines += ["Provides: libcurl.so.4", f"Conflicts: {CURL[package]}"] if package in CURL else []
        (self.root / f"made/{folder}/DEBIAN").mkdir(parents=True)
        (self.root / f"made/{folder}/DEBIAN/control").write_text("\n".join(lines) + "\n")


def _call(folder: Path) -> dict[str, Any]:
    """Read what the wrapper wrote down of a call."""
    argv = (folder / "argv").read_text().split("\0")[:-1]
    return {"argv": argv, "code": int((folder / "code").read_text())} | {
        name: (folder / name).read_text() for name in ("stdout", "stderr")
    }


def journey(guest: Guest) -> dict[str, Any]:
    """Record each situation in turn; every one begins with what the one before has left."""
    name = guest.name
    add, erase, found = ADD[name], ERASE[name], {}
    found["unknown"] = guest.record("packages")
    found["no-sources"] = guest.record("install")
    found["available"] = guest.record("packages", SOURCES[name] + ("; apt-get -qq update" if name == "apt" else ""))
    found["no-such-package"] = guest.record("install", packages=(WANTED[0], "no-such-package"))
    found["installed"] = guest.record("install")
    found["present"] = guest.record("packages")
    found["needed"] = guest.record("uninstall", f"{add} booth")
    found["removed"] = guest.record("uninstall", f"{erase} booth")
    found["nothing"] = guest.record("uninstall")
    found["folder"] = guest.record("install", f"{NO_SOURCES[name]}; {OLDER[name]}", folder="/folder")
    found["partly"] = guest.record("uninstall", f"{erase} gawk")
    minimal = f"{add} $(ls /repo/libcurl-minimal*)"
    found["other-package"] = guest.record("install", minimal, folder="/folder")
    guest.record("uninstall")
    found["incomplete"] = guest.record("install", "mkdir /kept; mv /folder/libqb* /kept", folder="/folder")
    guest.record("uninstall")
    if name in UNTRUSTED:
        found["untrusted"] = guest.record("install", f"mv /kept/* /folder; {UNTRUSTED[name]}", folder="/folder")
        guest.record("uninstall")
        found["unsigned"] = guest.record("install", UNSIGNED, folder="/folder")
    return found


def main() -> None:
    """Record all three, or those that are named."""
    for name in sys.argv[1:] or INCLUDE:
        with tempfile.TemporaryDirectory(prefix="recording-") as folder:
            guest = Guest(name, Path(folder) / "root")
            version = guest.sh(f"dpkg-query --show --showformat '${{Version}}' {name}").partition("-")[0]
            place = DATA / f"{name}-{version}"
            place.mkdir(exist_ok=True)
            for situation, recorded in journey(guest).items():
                (place / f"{situation}.json").write_text(json.dumps(recorded, indent=1) + "\n")
            print(place)


if __name__ == "__main__":
    main()

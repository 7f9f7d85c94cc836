"""Packaging of vm-mgr: what is installed is one package, vmmgr.

``drivers/``, ``templates/`` and ``etc/`` stand at the top level of the source tree and are reached by symbolic links inside
``vmmgr/``. So they are packaged as ``vmmgr.drivers``, ``vmmgr.templates`` and ``vmmgr.etc``, and nothing of a name as common
as "drivers" becomes importable on the user's machine.
"""

from pathlib import Path

from setuptools import find_packages, setup

# Reads qcow2 on a workstation that has no qemu-img; an extra, for its licence is the AGPL. zstd is what qcow2 files and
# slow links are compressed with; Python has it from 3.14 on.
QCOW2 = ["dissect.hypervisor>=3.21", "backports.zstd; python_version < '3.14'"]
# Made by script/docs; a checkout has none before that.
MAN_PAGE = "docs/_build/man/vm-mgr.1"

setup(
    name="vm-mgr",
    version="0.1.0",
    description="Manage highly available virtual machines on Pacemaker, Ceph and libvirt sites, over SSH",
    long_description=Path(__file__).with_name("README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["vmmgr", "vmmgr.*"]),
    package_data={
        "vmmgr": ["py.typed"],
        "vmmgr.templates": ["*/*.j2"],
        "vmmgr.etc": ["*.yaml", "completion/*"],
        "vmmgr.topics": ["*.rst"],
    },
    data_files=[("share/man/man1", [MAN_PAGE])] if Path(MAN_PAGE).exists() else [],
    # tests/package tries the program with exactly these versions. jinja2 before 3.1.6 lets an expression out of its sandbox,
    # paramiko before 3.5 lacks the fastest ciphers.
    install_requires=[
        "cliff>=4.9",
        "fabric>=3.2",
        "jinja2>=3.1.6",
        "paramiko>=3.5",
        "pluggy>=1.5",
        "pytest>=8.4",
        "pytest-testinfra>=10.1",
        "pyyaml>=6.0",
        "rich>=13.0",
    ],
    extras_require={
        "qcow2": QCOW2,
        "dev": [
            "mypy>=1.11",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "types-PyYAML",
            "types-paramiko",
            *QCOW2,
            "build",
            "sphinx>=7.4",
        ],
    },
    entry_points={"console_scripts": ["vm-mgr = vmmgr.__main__:main"], "pytest11": ["vmmgr = vmmgr.checks.options"]},
)

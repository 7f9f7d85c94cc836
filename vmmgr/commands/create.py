"""``create``."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, add_force, add_name, add_waiting, check_force

if TYPE_CHECKING:
    from vmmgr.operations.definition import Settings


class Create(SiteCommand):
    """Create a VM out of a disk image and a domain XML on this workstation, and start it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options; their names are vm_manager's."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument(
            "--xml", required=True, type=filled, metavar="FILE", help="libvirt domain XML, without the RBD disks"
        )
        parser.add_argument(
            "-i", "--image", required=True, type=filled, metavar="FILE", help="disk image of the system, qcow2 or raw"
        )
        parser.add_argument(
            "--image-format", metavar="FORMAT", help="format of the images, where it cannot be recognised: raw, …"
        )
        parser.add_argument(
            "--additional-disk",
            action="append",
            type=filled,
            default=[],
            metavar="FILE",
            help="image of a further disk; may be repeated",
        )
        parser.add_argument("--disk-bus", default="virtio", metavar="BUS", help="virtio (default), scsi, sata, usb or ide")
        parser.add_argument("--compress", action="store_true", help="compress the images on the way; for slow links")
        parser.add_argument("-p", "--progress", action="store_true", help="accepted and not needed: a terminal shows progress")
        parser.add_argument(
            "--metadata", nargs="+", type=filled_pair, default=[], action="extend", metavar="KEY=VALUE",
            help="the user's own metadata",
        )  # fmt: skip
        parser.add_argument("--disable", dest="enable", action="store_false", help="do not give it to the cluster yet")
        parser.add_argument("--nostart", dest="start", action="store_false", help="do not start it yet")
        add_force(parser)
        add_waiting(parser)
        add_settings(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Open the images, create the VM, say where it runs."""
        from vmmgr.images import open_image
        from vmmgr.model import check_new_name
        from vmmgr.operations.create import CreateRequest, create
        from vmmgr.operations.domain import read_domain_file

        options = parsed_args
        check_new_name(options.name)
        check_force(options)
        settings = settings_of(options)
        with ExitStack() as stack:
            files = [options.image, *options.additional_disk]
            disks = tuple(stack.enter_context(open_image(Path(file), options.image_format)) for file in files)
            request = CreateRequest(
                name=options.name,
                base_xml=read_domain_file(Path(options.xml)),
                disks=disks,
                settings=settings,
                metadata=dict(options.metadata),
                disk_bus=options.disk_bus,
                compress=options.compress,
                enable=options.enable,
                start=options.start,
                force=options.force,
                wait=options.wait,
                timeout=options.timeout,
            )
            self.tell(self.operate(lambda context: create(context, request)))


def add_settings(parser: argparse.ArgumentParser, *, inherited: bool = False) -> argparse._ArgumentGroup:
    """Add the options for how Pacemaker is to run a VM; where they are ``inherited``, what is not given is None."""
    title = "how the cluster runs it; what is not given is as with the source" if inherited else "how the cluster runs it"
    group = parser.add_argument_group(title)
    group.add_argument("--pinned-host", type=filled, metavar="HOST", help="run on this hypervisor only")
    group.add_argument("--preferred-host", type=filled, metavar="HOST", help="run on this hypervisor if it can")
    group.add_argument(
        "--enable-live-migration",
        dest="live_migration",
        action="store_true",
        help="move it while it runs, where that can be done",
    )
    group.add_argument(
        "--migration-user", type=filled, metavar="USER", help="login between hypervisors; default: the site's, or root"
    )
    group.add_argument("--stop-timeout", type=whole, default=30, metavar="SECONDS", help="for an orderly stop (30)")
    group.add_argument("--migrate-to-timeout", type=whole, default=120, metavar="SECONDS", help="for a live migration (120)")
    group.add_argument("--migration-downtime", type=whole, default=0, metavar="MS", help="that a live migration may cause")
    group.add_argument("--priority", type=int, default=0, metavar="N", help="which VMs run when not all can: the higher ones")
    group.add_argument(
        "--add-cluster-cmd", action="append", default=[], metavar="LINE",
        help="a further command of the site's tool for this VM, run whenever it is defined: what follows `crm configure`, or `pcs`; "
        "may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--add-crm-config-cmd", action="append", default=[], metavar="LINE", help="the same, refused where the tool is not crm"
    )
    for kind in ("meta", "params", "utilization"):
        group.add_argument(
            f"--pacemaker-{kind}", nargs="+", type=pair, default=[], action="extend", metavar="KEY=VALUE",
            help=f"further {kind} of the resource",
        )  # fmt: skip
    if inherited:
        group.add_argument(
            "--no-live-migration", dest="live_migration", action="store_false", help="never move it while it runs"
        )
        names = ("live_migration", "stop_timeout", "migrate_to_timeout", "migration_downtime", "priority")
        parser.set_defaults(**dict.fromkeys(names))
    return group


def settings_of(options: argparse.Namespace) -> Settings:
    """Return what the options of ``add_settings`` say."""
    from vmmgr.operations.definition import Settings

    return Settings(
        pinned_host=options.pinned_host,
        preferred_host=options.preferred_host,
        live_migration=options.live_migration,
        migration_user=options.migration_user,
        stop_timeout=options.stop_timeout,
        migrate_to_timeout=options.migrate_to_timeout,
        migration_downtime=options.migration_downtime,
        priority=options.priority,
        pacemaker_meta=dict(options.pacemaker_meta),
        pacemaker_params=dict(options.pacemaker_params),
        pacemaker_utilization=dict(options.pacemaker_utilization),
        commands=commands_of(options),
    )


def commands_of(options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Return the further commands by the cluster driver whose language they are in."""
    commands = {"crmsh": options.add_crm_config_cmd, "": options.add_cluster_cmd}
    return {tool: tuple(lines) for tool, lines in commands.items() if lines}


def pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE from the command line; the value may be empty or hold further equals signs."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def filled_pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE whose value is not empty: `rbd image-meta set` takes none."""
    key, value = pair(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} has no value, and Ceph keeps no empty ones")
    return key, value


def whole(text: str) -> int:
    """Read a whole number from 0 to a million from the command line."""
    if not text.isascii() or not text.isdigit() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 1000000")
    return int(text)

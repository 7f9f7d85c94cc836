"""A VM's metadata, which are those of its system image: the user's own, and the settings of vm-mgr and vm_manager."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError, UsageError
from vmmgr.model import check_known_name, system_image
from vmmgr.operations.lease import refuse_unless_free
from vmmgr.operations.observation import observe
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.steps import Role, Step, change
from vmmgr.operations.stopping import exists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Bytes: rbd takes a value as an argument only, and Linux gives a program none that is longer (execve(2), MAX_ARG_STRLEN).
LONGEST = 128 * 1024 - 1
# What a user may call his own metadata: as vm_manager has it, and three characters more.
_USER_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# Ceph's own: settings of librbd for this image (rbd(8), "config image set").
_CEPH = "conf_"
_RESERVED = {"xml", "vm_name"}
# Where the option of create and clone that gives a setting is not called like its key, and what else gives one.
_GIVEN_BY = {
    "vm_name": "create and clone take it as --name and --dst-name",
    "xml": "create and clone make it out of --xml",
    "_base_xml": "create and clone take it as --xml",
    "_live_migration": "create and clone take it as --enable-live-migration",
    "_additional_disks": "create counts --additional-disk",
    "_disk_bus": "create takes it as --disk-bus",
    "_crm_config_cmd": "create and clone take it as --add-crm-config-cmd",
}
_SETTINGS = re.compile(
    "_(pinned_host|preferred_host|migration_user|stop_timeout|migrate_to_timeout|migration_downtime|priority|pacemaker_[a-z]+)"
)


def is_users(key: str) -> bool:
    """Whether a key is one of those that a user may set."""
    return _USER_KEY.fullmatch(key) is not None and key not in _RESERVED and not key.startswith(_CEPH)


def check_user_metadata(metadata: Mapping[str, str]) -> None:
    """Refuse metadata that are not the user's, or that cannot be kept.

    Raises:
        UsageError: A key is reserved or breaks the rule, or a value is empty, too long, or holds a NUL.
    """
    for key, value in metadata.items():
        check_user_key(key)
        _check_value(key, value)


def check_user_key(key: str) -> None:
    """Refuse a key that is not the user's.

    Raises:
        UsageError: It is reserved or breaks the rule.
    """
    if key in _RESERVED or key.startswith("_"):
        raise UsageError(f"{key!r} is a setting of the VM, and read-only here; {_way_to_change(key)}.")
    if key.startswith(_CEPH):
        raise UsageError(
            f"{key!r} is a setting of Ceph's for the image, and read-only here; `rbd config image set` changes it."
        )
    if not _USER_KEY.fullmatch(key):
        raise UsageError(
            f"{key!r} cannot be a metadata key: it takes 1 to 128 letters, digits, '.', '_' and '-', and begins with a letter or digit."
        )


def _way_to_change(key: str) -> str:
    if key in _GIVEN_BY:
        return _GIVEN_BY[key]
    if _SETTINGS.fullmatch(key):
        return f"create and clone take it as --{key[1:].replace('_', '-')}"
    return "keys that begin with '_' are those of vm-mgr and vm_manager"


def _check_value(key: str, value: str) -> None:
    if not value:
        raise UsageError(f"The value of {key!r} is empty, and Ceph keeps no empty ones; to remove the key, use --unset.")
    if "\0" in value:
        raise UsageError(f"The value of {key!r} holds a NUL character, which Ceph cannot be given; encode it, as base64 does.")
    if len(value.encode(errors="surrogateescape")) > LONGEST:
        raise UsageError(f"The value of {key!r} is longer than {LONGEST} bytes, the most that a node can be given; split it.")


def vm_metadata(context: Context, name: str) -> Steps[dict[str, str]]:
    """Return all metadata of a VM, the settings included, in the order of their keys."""
    check_known_name(name)
    _, metadata = yield from _look(context, name, to_change=False)
    return dict(sorted(metadata.items()))


def metadata_value(context: Context, name: str, key: str) -> Steps[str]:
    """Return one value.

    Raises:
        RefusedError: There is no such key.
    """
    metadata = yield from vm_metadata(context, name)
    if key not in metadata:
        raise RefusedError(f"VM {name} has no metadata {key!r}; `vm-mgr list_metadata -n {name}` shows what it has.")
    return metadata[key]


def set_metadata(context: Context, name: str, key: str, value: str) -> Steps[str]:
    """Give a key of the user's a value; return the sentence that says what was done."""
    check_known_name(name)
    check_user_metadata({key: value})
    return (yield from with_fresh_view(lambda: _replace(context, name, key, value)))


def unset_metadata(context: Context, name: str, key: str) -> Steps[str]:
    """Remove a key of the user's; return the sentence that says what was done."""
    check_known_name(name)
    check_user_key(key)
    return (yield from with_fresh_view(lambda: _replace(context, name, key, None)))


def _look(context: Context, name: str, *, to_change: bool) -> Steps[tuple[View, dict[str, str]]]:
    """Read the site and the VM's metadata in one exec.

    Raises:
        RefusedError: There is no such VM, or it has no image that could have metadata.
    """
    image = system_image(name)
    view = yield from observe(context, to_change=to_change, more=(context.storage.metadata(image),))
    exists(view, name)
    if image not in view.images:
        raise RefusedError(f"VM {name} has no image {image} in the pool, so it has no metadata.")
    return view, view.more[0]


def _replace(context: Context, name: str, key: str, value: str | None) -> Steps[str]:
    """Set or unset one key, if nobody works on the VM; the change of a key is one that cannot be half done."""
    view, metadata = yield from _look(context, name, to_change=True)
    refuse_unless_free(view, name)
    before = metadata.get(key)
    if before == value:
        return (
            f"VM {name} has no metadata {key!r} already."
            if value is None
            else f"The metadata {key!r} of VM {name} has that value already."
        )
    cluster, storage, image = context.cluster(view.host, view.programs), context.storage, system_image(name)

    def command(content: str | None) -> Command[None]:
        return storage.unset_metadata(image, (key,)) if content is None else storage.set_metadata(image, {key: content})

    # whoever began to work on the VM since it was read has put his mark into the configuration
    yield from change(Role.CONTROL, Step(cluster.assert_unchanged(view.cib)), Step(command(value), undo=command(before)))
    return f"The metadata {key!r} of VM {name} is {'unset' if value is None else 'set'}."

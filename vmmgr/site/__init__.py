"""The site: which machines there are and how to reach them, from the configuration and the Ansible inventory.

Which site, and which inventory: the first level that names either decides both.

1. command line: ``--site`` and ``--inventory``;
2. environment: $VMMGR_SITE and $VMMGR_INVENTORY (several files separated like PATH);
3. configuration file: ``default_site``, or the only site that is configured.

An inventory alone is a site without settings, named after its first file. A site alone brings its own inventory. Both on one
level: the site's settings with the inventory given beside it.

Each setting then comes from the first of: the environment ($VMMGR_USER, $VMMGR_KEY, $VMMGR_KNOWN_HOSTS,
$VMMGR_CLUSTER_DRIVER), the site in the configuration file, the inventory's variables, the workstation's ssh_config, the
default. A user or key so given counts for all machines and replaces the inventory's. An empty environment variable is one that
is not set.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError
from vmmgr.site.model import CONNECT_TIMEOUT, Machine, Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.site.configuration import Configuration, Settings

__all__ = ["Machine", "Site", "load_site"]


def load_site(*, site: str | None, inventories: Sequence[Path], config: Path | None, environ: Mapping[str, str]) -> Site:
    """Return the site to work with. Nothing is contacted, except what a dynamic inventory contacts.

    Args:
        site: name of a configured site, from the command line.
        inventories: inventory files or folders from the command line, relative to the current folder; later ones win.
        config: the configuration file, from the command line.
        environ: the environment's variables.

    Raises:
        ConfigurationError: nothing says which site is meant, or the configuration or inventory cannot be used.
    """
    # yaml is not needed for --help
    from vmmgr.site.configuration import read_configuration
    from vmmgr.site.machines import Machines
    from vmmgr.site.sources import read_inventory

    configuration = read_configuration(config, environ)
    name, sources, settings = _choose(configuration, site, inventories, environ)
    settings = _overridden(settings, environ)
    inventory, files = read_inventory(sources, environ)
    found = Machines(inventory)
    machines = tuple(_with_settings(machine, settings) for machine in found.machines)
    encrypted = (f"{path} is encrypted, and its variables are not read." for path in files.encrypted)
    return Site(
        name=name,
        machines=machines,
        migration_user=found.migration_user,
        warnings=(*found.warnings, *encrypted, *_even(machines)),
        known_hosts=settings.known_hosts or (),
        cluster_driver=settings.cluster_driver or "auto",
        sudo=settings.sudo or ("password" if found.sudo_password else "nopasswd"),
        pool=settings.pool or "rbd",
        templates=settings.templates,
        checks=settings.checks,
        connect_timeout=settings.connect_timeout or CONNECT_TIMEOUT,
    )


def _choose(
    configuration: Configuration, site: str | None, inventories: Sequence[Path], environ: Mapping[str, str]
) -> tuple[str, tuple[Path, ...], Settings]:
    """Return the site's name, its inventories and its settings, from the first level that says something."""
    from vmmgr.site.configuration import Settings

    given = tuple(Path.cwd() / path.expanduser() for path in inventories)
    if not site and not given:
        site = environ.get("VMMGR_SITE")
        parts = environ.get("VMMGR_INVENTORY", "").split(os.pathsep)
        given = tuple(Path.cwd() / Path(part).expanduser() for part in parts if part)
    if not site and not given:
        site = configuration.default_site or (next(iter(configuration.sites)) if len(configuration.sites) == 1 else None)
    if not site:
        if not given:
            raise ConfigurationError(_nothing_chosen(configuration))
        return given[0].stem or "site", given, Settings()
    settings = _configured(configuration, site)
    if not given and not settings.inventory:
        raise ConfigurationError(f"{configuration.path}: site {site} has no inventory; add it there, or give one with -i.")
    return site, given or settings.inventory or (), settings


def _configured(configuration: Configuration, site: str) -> Settings:
    from vmmgr.site.configuration import known_sites

    if site in configuration.sites:
        return configuration.sites[site]
    place = f" in {configuration.path}" if configuration.path else ""
    raise ConfigurationError(f"There is no site {site!r}{place}; {known_sites(configuration.sites)}.")


def _nothing_chosen(configuration: Configuration) -> str:
    from vmmgr.site.configuration import known_sites

    ways = "Give an inventory (-i FILE or $VMMGR_INVENTORY), or a site (--site NAME, $VMMGR_SITE or default_site)"
    if configuration.path is None:
        return f"Which site is meant? {ways} of a configuration file; there is no ~/.config/vm-mgr/config.yaml yet."
    return f"Which site is meant? {ways} of {configuration.path}; {known_sites(configuration.sites)}."


def _overridden(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with those of the environment put over them."""
    from vmmgr.site import configuration as read

    here = Path.cwd()
    if value := environ.get("VMMGR_USER"):
        settings = replace(settings, user=read.user(value, "$VMMGR_USER", here))
    if value := environ.get("VMMGR_KEY"):
        settings = replace(settings, key=read.paths(value, "$VMMGR_KEY", here))
    if value := environ.get("VMMGR_KNOWN_HOSTS"):
        parts = [part for part in value.split(os.pathsep) if part]
        settings = replace(settings, known_hosts=read.paths(parts, "$VMMGR_KNOWN_HOSTS", here))
    if value := environ.get("VMMGR_CLUSTER_DRIVER"):
        settings = replace(settings, cluster_driver=read.word(value, "$VMMGR_CLUSTER_DRIVER", here))
    return settings


def _with_settings(machine: Machine, settings: Settings) -> Machine:
    return replace(
        machine,
        user=settings.user or machine.user,
        key_files=machine.key_files if settings.key is None else settings.key,
    )


def _even(machines: tuple[Machine, ...]) -> tuple[str, ...]:
    """Return a warning if the votes of the machines can be equally divided."""
    count = len(machines)
    if count % 2:
        return ()
    return (f"The cluster has an even number of machines ({count}): cut into halves, neither has quorum. Add an observer.",)

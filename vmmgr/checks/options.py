"""For people who run pytest themselves: ``pytest --pyargs vmmgr.checks --vmmgr-site NAME``. pytest finds this by its entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

_OPTIONS = {
    "site": "the site, by its name in vm-mgr's configuration file",
    "inventory": "the site's Ansible inventory; may be repeated",
    "config": "vm-mgr's configuration file",
    "host": "check this machine only, and nothing of the cluster as a whole; may be repeated",
    "ignore": "leave out the check of this code; may be repeated",
}
_REPEATED = ("inventory", "host", "ignore")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; they have no effect unless vm-mgr's checks are run."""
    group = parser.getgroup("vm-mgr")
    for name, text in _OPTIONS.items():
        action = "append" if name in _REPEATED else "store"
        group.addoption(f"--vmmgr-{name}", action=action, default=[] if name in _REPEATED else None, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Open the site whose checks are to be run."""
    if not any(argument.startswith("vmmgr.checks") for argument in config.args) or config.option.help:
        return
    from vmmgr.checks.plugin import NAME, SitePlugin
    from vmmgr.checks.running import folders
    from vmmgr.errors import VmMgrError
    from vmmgr.session import choose_site, reach

    chosen = {name: config.getoption(f"--vmmgr-{name}") for name in _OPTIONS}
    try:
        inventories, file = [Path(path) for path in chosen["inventory"]], chosen["config"]
        site = choose_site(site=chosen["site"], inventories=inventories, config=Path(file) if file else None)
        for host in chosen["host"]:
            site.machine(host)
    except VmMgrError as error:
        raise pytest.UsageError(str(error)) from error
    remote = reach(site)
    config.add_cleanup(remote.close)
    config.args += map(str, folders(site)[0][1:])
    plugin = SitePlugin(site, remote, hosts=chosen["host"], ignored=chosen["ignore"])
    config.pluginmanager.register(plugin, NAME)

"""The configuration file, the environment, and which of them decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import vmmgr.etc
from vmmgr.errors import ConfigurationError
from vmmgr.site import Site, load_site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """Put inventories a.yaml to e.yaml, with one hypervisor named like the file, and other files into the home."""
    for name in "abcde":
        (home / f"{name}.yaml").write_text(f"hypervisors: {{hosts: {{{name}: {{ansible_user: inv}}}}}}")
    for name in ("key", "key2", "hosts1", "hosts2"):
        (home / name).touch()
    (home / "templates").mkdir()
    return home


def choose(
    text: str | None, *, site: str | None = None, inventories: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Site:
    """Load a site with this text in ~/.config/vm-mgr/config.yaml, which lies two folders below the inventories."""
    if text is not None:
        path = Path("~/.config/vm-mgr/config.yaml").expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_site(site=site, inventories=[Path(item) for item in inventories], config=None, environ=environ or {})


TWO = "sites: {A: {inventory: ~/a.yaml, pool: pa}, B: {inventory: ../../b.yaml, pool: pb}}"


def summary(site: Site) -> tuple[str, str, str]:
    """Return what tells the choices apart: name, machine, pool."""
    return site.name, site.machines[0].name, site.pool


@pytest.mark.parametrize(
    ("site", "inventories", "environ", "expected"),
    [
        (None, [], {}, ("A", "a", "pa")),
        ("B", [], {}, ("B", "b", "pb")),
        (None, ["c.yaml"], {}, ("c", "c", "rbd")),
        ("B", ["c.yaml"], {}, ("B", "c", "pb")),
        (None, [], {"VMMGR_SITE": "B"}, ("B", "b", "pb")),
        (None, [], {"VMMGR_INVENTORY": "d.yaml"}, ("d", "d", "rbd")),
        (None, [], {"VMMGR_SITE": "B", "VMMGR_INVENTORY": "d.yaml"}, ("B", "d", "pb")),
        ("A", [], {"VMMGR_SITE": "B", "VMMGR_INVENTORY": "d.yaml"}, ("A", "a", "pa")),
        (None, ["c.yaml"], {"VMMGR_SITE": "B", "VMMGR_INVENTORY": "d.yaml"}, ("c", "c", "rbd")),
        (None, [], {"VMMGR_SITE": "", "VMMGR_INVENTORY": ""}, ("A", "a", "pa")),
    ],
)
def test_first_level_decides(
    site: str | None, inventories: list[str], environ: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """Command line, environment, configuration: the first that names site or inventory decides both."""
    found = choose(f"default_site: A\n{TWO}", site=site, inventories=inventories, environ=environ)
    assert summary(found) == expected


def test_only_site_needs_no_default() -> None:
    """The only configured site is meant when none is named."""
    assert summary(choose("sites: {A: {inventory: ~/a.yaml}}")) == ("A", "a", "rbd")


def test_several_inventories_of_the_environment() -> None:
    """$VMMGR_INVENTORY holds several files, separated like PATH."""
    site = choose(None, environ={"VMMGR_INVENTORY": f"a.yaml{os.pathsep}{os.pathsep}~/b.yaml"})
    assert [machine.name for machine in site.machines] == ["a", "b"]
    assert len(site.warnings) == 1


def test_every_key(files: Path) -> None:
    """Each key of a site arrives; user and key replace those of the inventory."""
    site = choose(
        "sites: {A: {inventory: [~/a.yaml, ~/b.yaml], user: cfg, key: [~/key, ~/key2], known_hosts: ~/hosts1, "
        "cluster_driver: pcs, sudo: password, pool: vms, templates: ../../templates, connect_timeout: 5}}"
    )
    assert {(machine.user, machine.key_files) for machine in site.machines} == {("cfg", (files / "key", files / "key2"))}
    assert site.known_hosts == (files / "hosts1",)
    assert (site.cluster_driver, site.sudo, site.pool, site.connect_timeout) == ("pcs", "password", "vms", 5.0)
    assert site.templates is not None
    assert site.templates.samefile(files / "templates")


def test_environment_over_configuration_over_inventory(files: Path) -> None:
    """A setting of the environment beats the configuration, which beats the inventory."""
    text = "sites: {A: {inventory: ~/a.yaml, user: cfg, key: ~/key, known_hosts: ~/hosts1, cluster_driver: pcs}}"
    environ = {
        "VMMGR_USER": "env",
        "VMMGR_KEY": "key2",
        "VMMGR_KNOWN_HOSTS": f"hosts2{os.pathsep}~/hosts1",
        "VMMGR_CLUSTER_DRIVER": "crmsh",
    }
    site = choose(text, environ=environ)
    assert (site.machines[0].user, site.machines[0].key_files) == ("env", (files / "key2",))
    assert site.known_hosts == (files / "hosts2", files / "hosts1")
    assert site.cluster_driver == "crmsh"
    assert choose(text).machines[0].user == "cfg"
    assert choose(None, inventories=["a.yaml"]).machines[0].user == "inv"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VMMGR_USER", "-x", "$VMMGR_USER is '-x': a user name"),
        ("VMMGR_KEY", "nokey", "$VMMGR_KEY is {home}/nokey, which cannot be read: No such file"),
        ("VMMGR_KNOWN_HOSTS", "a\nb", "$VMMGR_KNOWN_HOSTS is 'a\\nb': text without control"),
        ("VMMGR_KNOWN_HOSTS", ":", "$VMMGR_KNOWN_HOSTS is an empty list"),
        ("VMMGR_CLUSTER_DRIVER", "../x", "$VMMGR_CLUSTER_DRIVER is '../x': letters"),
        ("VMMGR_CONFIG", "nofile", "The configuration file ($VMMGR_CONFIG) is {home}/nofile, which cannot be read"),
        ("VMMGR_SITE", "C", "There is no site 'C' in {home}/.config/vm-mgr/config.yaml; the configured sites are A, B."),
    ],
)
def test_unusable_environment(files: Path, name: str, value: str, message: str) -> None:
    """A variable with a wrong value is named."""
    with pytest.raises(ConfigurationError) as caught:
        choose(f"default_site: A\n{TWO}", environ={name: value})
    assert message.format(home=files) in str(caught.value)


def test_where_the_file_is(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, then $VMMGR_CONFIG, then $XDG_CONFIG_HOME or ~/.config, then /etc; relative paths start at the file."""

    def file(name: str, *, pool: str) -> Path:
        path = files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"sites: {{A: {{inventory: {files}/a.yaml, pool: {pool}}}}}")
        return path

    def pool(config: Path | None = None, **environ: str) -> str:
        return load_site(site=None, inventories=[], config=config, environ=environ).pool

    monkeypatch.setattr("vmmgr.site.configuration.SYSTEM_FILE", file("etc.yaml", pool="system"))
    assert pool() == "system"
    file(".config/vm-mgr/config.yaml", pool="user")
    assert pool() == "user"
    assert pool(XDG_CONFIG_HOME="relative/is/invalid") == "user"
    file("xdg/vm-mgr/config.yaml", pool="xdg")
    xdg = str(files / "xdg")
    assert pool(XDG_CONFIG_HOME=xdg) == "xdg"
    file("env.yaml", pool="env")
    assert pool(XDG_CONFIG_HOME=xdg, VMMGR_CONFIG="~/env.yaml") == "env"
    file("cli.yaml", pool="cli")
    assert pool(Path("cli.yaml"), VMMGR_CONFIG="~/env.yaml") == "cli"
    with pytest.raises(ConfigurationError, match=r"The configuration file \(--config\) is .*/none, which cannot be read"):
        pool(Path("none"))


def test_nothing_at_all() -> None:
    """Without configuration and inventory, one sentence says what to give."""
    with pytest.raises(
        ConfigurationError, match=r"Which site is meant\? Give an inventory \(-i FILE .*no ~/\.config/vm-mgr/config"
    ):
        choose(None)


def test_several_sites_and_none_named() -> None:
    """With several sites, none is guessed."""
    with pytest.raises(ConfigurationError, match=r"Which site is meant\? .* the configured sites are A, B\."):
        choose(TWO)


def test_site_without_configuration() -> None:
    """--site without any configuration file says that no site is configured."""
    with pytest.raises(ConfigurationError, match=r"There is no site 'A'; no site is configured\."):
        choose(None, site="A")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sites: {A: {}}", "site A has no inventory; add it there, or give one with -i."),
        ("site: {}", "unknown key 'site'; there are default_site, sites."),
        ("sites: {A: {inventroy: x}}", "site A: unknown key 'inventroy'; there are inventory, user, key,"),
        ("sites: {A: {1: x}}", "site A: unknown key 1;"),
        ("sites: []", "sites is []: NAME: {...} lines are expected."),
        ("sites: {A: x}", "site A is 'x': KEY: VALUE lines are expected"),
        ("sites: {A: }", "site A is None: KEY: VALUE lines are expected"),
        ("sites: {'a b': {}}", "the name of a site is 'a b': letters"),
        ("sites: {true: {}}", "the name of a site is True"),
        ("default_site: A", "default_site is 'A', but no site is configured."),
        ("default_site: C\n" + TWO, "default_site is 'C', but the configured sites are A, B."),
        ("default_site: [A]\n" + TWO, "default_site is ['A']: letters"),
        ("- a", "config.yaml does not hold NAME: VALUE lines"),
        ("a: [", "config.yaml, line 1, column 5: not valid YAML"),
        ("sites: {A: {inventory: }}", "site A has no inventory"),
        ("sites: {A: {inventory: []}}", "site A: inventory is an empty list"),
        ("sites: {A: {inventory: 5}}", "site A: inventory is 5: a path is expected."),
        ("sites: {A: {inventory: [~/a.yaml, {}]}}", "site A: inventory is {}: a path is expected."),
        ("sites: {A: {inventory: none.yaml}}", "/.config/vm-mgr/none.yaml, which cannot be read: No such file"),
        ("sites: {A: {inventory: ''}}", "site A: inventory is '': text without"),
        ("sites: {A: {user: [x]}}", "site A: user is ['x']: a user name"),
        ("sites: {A: {key: ~/none}}", "site A: key is "),
        ("sites: {A: {known_hosts: 1}}", "site A: known_hosts is 1: a path"),
        ("sites: {A: {cluster_driver: '-x'}}", "site A: cluster_driver is '-x': letters"),
        ("sites: {A: {sudo: yes}}", 'site A: sudo is True: "nopasswd" or "password" is expected.'),
        ("sites: {A: {sudo: []}}", "site A: sudo is []:"),
        ("sites: {A: {pool: 'a/b'}}", "site A: pool is 'a/b': letters"),
        ("sites: {A: {templates: ~/key}}", "/key, which is not a folder."),
        ("sites: {A: {connect_timeout: 0}}", "site A: connect_timeout is 0: a number of seconds above 0"),
        ("sites: {A: {connect_timeout: '2'}}", "connect_timeout is '2'"),
        ("sites: {A: {connect_timeout: .nan}}", "connect_timeout is nan"),
        ("sites: {A: {connect_timeout: .inf}}", "connect_timeout is inf"),
        ("sites: {A: {connect_timeout: true}}", "connect_timeout is True"),
    ],
)
def test_unusable_configuration(text: str, message: str) -> None:
    """Unknown keys and wrong values are refused in one sentence with the file and the site."""
    with pytest.raises(ConfigurationError) as caught:
        choose(text)
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_file_is_no_configuration() -> None:
    """An empty file, or one of comments only, is as good as none for an inventory of the command line."""
    assert choose("# nothing yet\n", inventories=["a.yaml"]).name == "a"


def test_sample(files: Path) -> None:
    """The sample that comes with vm-mgr is a usable configuration once the files that it names exist."""
    folder = files / "copied"
    (folder / "laboratory-templates").mkdir(parents=True)
    (folder / "laboratory-checks").mkdir()
    (files / "seapath" / "inventories").mkdir(parents=True)
    (files / ".ssh").mkdir()
    for path in (files / ".ssh" / "laboratory", folder / "known_hosts.laboratory"):
        path.touch()
    inventories = files / "seapath" / "inventories"
    for path in (inventories / "substation.yaml", inventories / "laboratory.yaml", folder / "laboratory-from-here.yaml"):
        path.write_text("hypervisors: {hosts: {n1: }}")
    config = folder / "config.yaml"
    config.write_bytes((Path(vmmgr.etc.__file__).parent / "vm-mgr.yaml").read_bytes())
    assert load_site(site=None, inventories=[], config=config, environ={}).name == "substation"
    site = load_site(site="laboratory", inventories=[], config=config, environ={})
    assert (site.machines[0].user, site.connect_timeout) == ("ansible", 2.0)
    assert site.checks == folder / "laboratory-checks"


def test_imports_are_lazy() -> None:
    """Importing the site package imports neither yaml nor jinja2, so that --help stays fast."""
    code = "import sys, vmmgr.site; print(sorted({'yaml', 'jinja2', 'subprocess'} & set(sys.modules)))"
    path = os.pathsep.join(item for item in sys.path if item)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONPATH": path}, timeout=30)
    assert done.stdout.strip() == b"[]"

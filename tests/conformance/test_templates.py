"""Every template of the tree, whoever uses it: values stay values, and scripts stay the same."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from jinja2 import Environment, meta, nodes

import vmmgr
from vmmgr.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(vmmgr.__file__).parent
TEMPLATES = PACKAGE / "templates"
FILES = sorted(TEMPLATES.rglob("*.j2"))
COMMANDS = [str(file.relative_to(TEMPLATES))[:-3] for file in FILES if not file.name.endswith(".xml.j2")]
DOCUMENTS = [str(file.relative_to(TEMPLATES))[:-7] for file in FILES if file.name.endswith(".xml.j2")]

RENDERER = Renderer()

HOSTILE = (
    "", "-rf", "--help", "--", "two words", "$(touch pwned)", "`touch pwned`", "; touch pwned;", "'; touch pwned; '", '"; touch pwned; "',
    "| touch pwned", "& touch pwned &", "> pwned", "*", "~", "${HOME}", "\\", "\\n", "a'b\"c", "line\nbreak", "größe", "{{ 7 * 7 }}", "=", "%s",
    "<a b='c'>&amp;]]>",
)  # fmt: skip

# What a careless script would run, split or expand; every part of each says "pwned".
RUNNABLE = (
    "-pwned two pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "> pwned",
    "pwned*",
)

# Where else than in an option of its own a value may stand as a part of a word.
PREFIXES = ("vm-mgr-", "vm-mgr.")
LEASE = "//cluster_property_set[@id='vm-mgr-{vm}'][nvpair/@id='vm-mgr-{vm}-{token}']"
WORDS = {
    "pacemaker/lease_drop": LEASE,
    "pacemaker/lease_replace": LEASE,
}
# Tools that know neither "--" nor an option for it. What they are given are ids: those of a CIB begin with a letter or "_".
BARE = ("crmsh/delete",)


@cache
def parsed(file: str) -> nodes.Template:
    """Return the syntax tree of a template."""
    return Environment().parse((TEMPLATES / file).read_text())


def variables(template: str, suffix: str, fill: Callable[[str], str]) -> dict[str, Any]:
    """Return a value of the right shape for every variable of a template; ``fill`` makes a text out of the token ``{name}``."""
    tree = parsed(template + suffix)
    return {name: _shaped(tree, name, fill) for name in meta.find_undeclared_variables(tree)}


def _shaped(tree: nodes.Template, name: str, fill: Callable[[str], str]) -> Any:
    for loop in tree.find_all(nodes.For):
        if isinstance(loop.iter, nodes.Name) and loop.iter.name == name:
            count = len(loop.target.items) if isinstance(loop.target, nodes.Tuple) else 0
            rows = [[fill(f"{{{name}{row}{column}}}") for column in range(count or 1)] for row in range(2)]
            return rows if count else [row[0] for row in rows]
        if isinstance(loop.iter, nodes.Call) and getattr(loop.iter.node.node, "name", "") == name:
            return {fill(f"{{{name}-key}}"): fill(f"{{{name}-value}}")}
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == name:
            return [fill(f"{{{name}{index}}}") for index in range(3)]
    return fill(f"{{{name}}}")


TOKEN = re.compile(r"\{[a-z_0-9]+(-key|-value)?\}")


@cache
def reference(template: str) -> tuple[str, ...]:
    """Render a command with tokens for values, and so show where each value goes."""
    return RENDERER.argv(template, **variables(template, ".j2", str))


def is_script(argv: tuple[str, ...]) -> bool:
    """Tell a constant script with parameters from a plain command."""
    return argv[:2] == ("sh", "-c")


def test_all_templates_are_here() -> None:
    """The tree has templates of each driver, and nothing but templates."""
    assert {name.split("/")[0] for name in COMMANDS} == {
        "apt", "crmsh", "dnf", "guest", "libvirt", "pacemaker", "pcs", "rbd", "zypper",
    }  # fmt: skip
    assert DOCUMENTS
    others = [file for file in TEMPLATES.rglob("*") if file.is_file() and file.suffix not in (".j2", ".py", ".pyc")]
    assert others == []


@pytest.mark.parametrize("template", COMMANDS)
def test_values_arrive_where_they_belong(template: str) -> None:
    """Whatever the values are, the command has the same arguments, with the values in their places and nothing else changed."""
    words = reference(template)
    for value in HOSTILE:
        argv = RENDERER.argv(template, **variables(template, ".j2", lambda _token, value=value: value))
        assert argv == tuple(TOKEN.sub(lambda _match, value=value: value, word) for word in words)
    assert RENDERER.argv(template, **variables(template, ".j2", str)) == words


@pytest.mark.parametrize("template", COMMANDS)
def test_no_value_can_be_taken_for_an_option(template: str) -> None:
    """A value is part of its option's word, has a prefix, comes after ``--``, or is a parameter of a script."""
    argv = reference(template)
    for index, word in enumerate(argv):
        if not TOKEN.search(word):
            continue
        stands_alone = TOKEN.fullmatch(word) is not None
        in_option = re.fullmatch(rf"--[a-z-]+=({TOKEN.pattern})B?", word) is not None
        prefixed = word.startswith(PREFIXES)
        protected = is_script(argv) or "--" in argv[:index] or template in BARE
        assert in_option or prefixed or word == WORDS.get(template) or (stands_alone and protected), word


@pytest.mark.parametrize("template", [name for name in COMMANDS if is_script(reference(name))])
def test_scripts_are_constant_and_sound(template: str) -> None:
    """A script is the same whatever the values are, its parameters begin after its name, and the shell can read it."""
    program, option, script, name, *parameters = (*reference(template), *("sh",) * (len(reference(template)) == 3))
    assert (program, option, name) == ("sh", "-c", "sh")
    assert not TOKEN.search(script)
    assert bool(parameters) == bool(variables(template, ".j2", str))
    for shell in ("sh", "dash", "bash"):
        subprocess.run([shell, "-n", "-c", script], check=True, capture_output=True)


# What writes where its value says.
WRITING = (
    "libvirt/write_file", "pacemaker/key_write", "guest/start", "apt/install", "dnf/install", "zypper/install",
    "apt/download", "dnf/download", "zypper/download",
)  # fmt: skip
FAKED = (
    "rbd", "rados", "ceph", "cibadmin", "virsh", "pcs", "crm", "systemctl", "systemd-run", "journalctl", "ss", "bash",
    "apt-get", "apt-cache", "dpkg-query", "dnf", "rpm", "zypper", "firewall-cmd", "ufw",
)  # fmt: skip

FAKE = """#!/bin/sh
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n\\0'; } >> "$CALLS"
cat > /dev/null
printf '%s\\n' "$FAKE_OUTPUT"
"""


@pytest.mark.parametrize("template", [name for name in COMMANDS if is_script(reference(name)) and name not in WRITING])
def test_a13_22_scripts_never_run_their_values(template: str, tmp_path: Path) -> None:
    """Really run, with tools that only note their arguments, no script runs, splits or expands a hostile value."""
    tools, work = tmp_path / "tools", tmp_path / "work"
    tools.mkdir()
    work.mkdir()
    for tool in FAKED:
        (tools / tool).write_text(FAKE)
        (tools / tool).chmod(0o755)
    (work / "pwned-expanded").touch()
    for number, value in enumerate(RUNNABLE):
        calls = tmp_path / f"calls{number}"
        argv = RENDERER.argv(template, **variables(template, ".j2", lambda _token, value=value: value))
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "FAKE_OUTPUT": value, "CALLS": str(calls), "LC_ALL": "C", "HOME": "/"}
        subprocess.run(argv, input=b"", capture_output=True, env=environment, cwd=work, check=False, timeout=20)
        assert [file.name for file in work.iterdir()] == ["pwned-expanded"], f"{value!r} was run"
        words = calls.read_text().split("\0") if calls.exists() else []
        assert [word for word in words if "pwned" in word and value not in word] == []


@pytest.mark.parametrize("template", [name for name in COMMANDS if "mktemp" in str(reference(name)) or name in WRITING[:2]])
def test_scripts_leave_nothing_when_their_time_is_up(template: str, tmp_path: Path) -> None:
    """A script that is ended, as timeout(1) ends it with all that it runs, while it waits for its input removes its temporary files."""
    tools, work = tmp_path / "tools", tmp_path / "work"
    tools.mkdir()
    work.mkdir()
    for tool in ("rbd", "cibadmin"):
        (tools / tool).write_text("#!/bin/sh\nexec cat\n")
        (tools / tool).chmod(0o755)
    values = variables(template, ".j2", str) | {"file": str(work / "vm.xml"), "compression": "none"}
    argv = RENDERER.argv(template, **values)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(work), "LC_ALL": "C"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=work, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 10
        while all(path.is_dir() for path in work.rglob("*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)  # a program between its fork and its exec would miss the signal
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
    assert process.returncode == 143
    assert list(work.iterdir()) == []


def render_document(template: str, fill: Callable[[str], str]) -> ET.Element:
    """Render a document and read it back."""
    return ET.fromstring(RENDERER.xml(template, **variables(template, ".xml.j2", fill)))


@pytest.mark.parametrize("template", DOCUMENTS)
def test_documents_keep_their_form(template: str) -> None:
    """Whatever the values are, a document has the same elements and attributes, with the values in their places."""
    expected = list(render_document(template, str).iter())
    for value in HOSTILE:
        if not value:
            continue  # an empty optional setting leaves its element out
        found = list(render_document(template, lambda _token, value=value: value).iter())
        assert [item.tag for item in found] == [item.tag for item in expected]
        for was, now in zip(expected, found, strict=True):
            assert now.attrib == {key: TOKEN.sub(lambda _match, value=value: value, text) for key, text in was.attrib.items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_a_template_says_what_it_is_for(file: Path) -> None:
    """No backslash joins lines, which would give an argument of a line break; no filter, include or control is hidden in it."""
    text = file.read_text()
    assert "\\\n" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "|safe" not in text.replace(" ", "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_no_template_is_dead(file: Path, used_templates: frozenset[str]) -> None:
    """Every template is rendered by a driver's method, or is named in the code that uses it."""
    name = str(file.relative_to(TEMPLATES)).removesuffix(".j2").removesuffix(".xml")
    code = (source.read_text() for source in PACKAGE.rglob("*.py"))
    assert name in used_templates or any(f'"{name}"' in text for text in code)


def test_shown_commands_can_be_pasted() -> None:
    """What is shown of a command is what a shell would run as the same command."""
    for template in COMMANDS:
        argv = reference(template)
        assert tuple(shlex.split(shlex.join(argv))) == argv

"""Answers the argument lists that the real drivers render, by what they would do to the state of a fake site.

Commands are known by their template: scripts by their very text, the others by their first words. Nothing is answered that
the state does not hold, and what a real tool refuses is refused with its exit code.
"""

from __future__ import annotations

import copy
import hashlib
import re
from typing import Any
from xml.etree import ElementTree as ET

from fakeceph import CephCommands, ExitError
from fakeguest import GUEST_PLAIN, GUEST_SCRIPTS, GuestCommands
from fakesite import EPOCH_START, Host, Run, xml_of

from vmmgr.rendering import Renderer


class RememberingRenderer(Renderer):
    """The real one; it only remembers what it rendered, because the tests of failures render the same over and over."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[str, ...]] = {}

    def argv(self, template: str, **values: Any) -> tuple[str, ...]:
        key = f"{template} {values!r}"
        if key not in self._known:
            self._known[key] = super().argv(template, **values)
        return self._known[key]


RENDERER = RememberingRenderer()
# Any values will do: only the text of the script is of interest.
_SAMPLE = {
    "vm": "x", "token": "t", "ids": ["i"], "tools": ["crm"], "admin_epoch": "0", "epoch": "0", "pool": "p", "image": "i",
    "group": "g", "metadata": {"k": "v"}, "compression": "none", "file": "f", "sha256": "s",
    "usage": "no", "keys": ["k"], "mode": "change", "words": ["w"], "seconds": 20, "freeze": "yes", "pause": "no",
    "snapshot": "s", "images": ["i"], "known": "", "address": "a", "port": 1, "record": "r", "folder": "f", "packages": ["p"],
    "package": "p", "files": ["f"], "former": "f", "strict": "no", "looks": 1, "num_updates": "0",
}  # fmt: skip
_SCRIPTS = (
    *GUEST_SCRIPTS,
    "pacemaker/news", "libvirt/quiesce", "libvirt/release", "libvirt/destroy", "libvirt/inspect", "libvirt/validate", "libvirt/write_file",
    "pacemaker/assert_absent", "pacemaker/assert_lease", "pacemaker/assert_unchanged", "pacemaker/lease_renew", "pacemaker/node",
    "crmsh/redefine", "pcs/define", "pcs/delete", "pcs/redefine", "rbd/disks", "rbd/records_remove", "rbd/unset_metadata",
    "rbd/assert_unused", "rbd/flatten_later", "rbd/flattening", "rbd/monitors", "rbd/remove_snapshot",
    "rbd/import_diff", "rbd/remove_group", "rbd/remove_image", "rbd/set_metadata", "rbd/store_get", "rbd/store_remove",
)  # fmt: skip
TEMPLATE_OF = {RENDERER.argv(name, **_SAMPLE)[2]: name.split("/")[1] for name in _SCRIPTS}


class Commands(CephCommands, GuestCommands):
    """What each command does to a site."""

    def execute(self, host: Host, argv: tuple[str, ...], stdin: str) -> str:
        """Run one command and return its output, or raise ``ExitError``."""
        name = command_name(argv)
        if not host.answers and name not in {
            "node",
            "inspect",
            "validate",
            "write_file",
            "remove_file",
            "destroy",
            "quiesce",
            "release",
        }:
            raise ExitError(102, "Not connected")
        options = dict(word[2:].split("=", 1) for word in argv[1:] if word.startswith("--") and "=" in word)
        answer = getattr(self, f"do_{name}")(host, _arguments(argv, name), options, stdin)
        return str(answer or "")

    def do_nothing(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        """``true`` has nothing to say."""

    def do_node(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return (
            "\n".join([str(EPOCH_START + int(self.site.seconds)), *(tool for tool in arguments if tool in host.tools)]) + "\n"
        )

    def do_cib(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        self.site.cib.set("have-quorum", str(int(host.quorate)))
        return xml_of(self.site.cib)

    def do_news(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        pause, *version, looks = arguments
        unchanged = version == [self.site.cib.get(part) for part in ("admin_epoch", "epoch", "num_updates")]
        self.site.seconds += float(pause) + 0.07 * int(looks) * unchanged

    def do_simulate(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return self.site.simulation(host)

    def do_foresee(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        other = self.site.clone()
        other.cib, other.broken = ET.fromstring(stdin), {}
        for vm, run in other.runs.items():
            if other.cib.find(f"status//lrm_resource[@id='{vm}']") is None:
                run.failed = run.blocked = run.given_up = False
        return other.simulation(host)

    def do_assert_unchanged(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if arguments != [self.site.cib.get("admin_epoch"), self.site.cib.get("epoch")]:
            raise ExitError(75)

    def do_assert_absent(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        for name in arguments:
            if self.site.cib.find(f"configuration//*[@id='{name}']") is not None:
                raise ExitError(75, f"{name} exists already")

    def do_assert_lease(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if self.site.cib.find(f".//nvpair[@id='{arguments[0]}']") is None:
            raise ExitError(75, "The lease is gone.")

    def do_lease_take(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        document = ET.fromstring(stdin)
        self._writable(host)
        if self.site.cib.find(f".//cluster_property_set[@id='{document.get('id')}']") is not None:
            raise ExitError(108, "Call failed: File exists")
        self.site.find("configuration/crm_config").append(document)
        self.site.edit()

    def do_lease_replace(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        found = re.fullmatch(r"//cluster_property_set\[@id='([^']+)'\]\[nvpair/@id='([^']+)'\]", arguments[0])
        assert found, arguments
        self._writable(host)
        config = self.site.find("configuration/crm_config")
        for index, item in enumerate(config):
            if item.get("id") == found[1] and item.find(f"nvpair[@id='{found[2]}']") is not None:
                config[index] = ET.fromstring(stdin)
                self.site.edit()
                return
        raise ExitError(105, "Call cib_replace failed: No such device or address")

    def do_lease_renew(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        pair = self.site.cib.find(f".//nvpair[@id='{arguments[0]}']")
        new = ET.fromstring(stdin).find("nvpair")
        if pair is None or new is None:
            raise ExitError(105, "No such device or address")
        self._writable(host)
        pair.attrib.update(new.attrib)
        self.site.edit()

    def do_lease_drop(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        xpath = arguments[0]
        found = re.fullmatch(r"//cluster_property_set\[@id='([^']+)'\]\[nvpair/@id='([^']+)'\]", xpath)
        assert found, xpath
        self._writable(host)
        config = self.site.find("configuration/crm_config")
        for item in config.findall(f"cluster_property_set[@id='{found[1]}']"):
            if item.find(f"nvpair[@id='{found[2]}']") is not None:
                config.remove(item)
                self.site.edit()

    def do_define(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._writable(host)
        new = copy.deepcopy(self.site.cib)
        self._add(new, stdin)
        self._accept(new)

    def do_redefine(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        """Delete, add, run the lines on a copy; of crm's and pcs' language it knows a location and nothing else."""
        mode, count, *words = arguments
        new = copy.deepcopy(self.site.cib)
        if mode == "change":
            self._writable(host)
        self._delete(new, words[: int(count)])
        self._add(new, stdin)
        self._consistent(new)
        words, number = words[int(count) :], 0
        while words:
            line, words, number = words[1 : int(words[0]) + 1], words[int(words[0]) + 1 :], number + 1
            try:
                self._run_line(new, " ".join(line), host.tools[0])
                self._consistent(new)
            except ExitError as error:
                raise ExitError(65, f"\x1b[31mERROR\x1b[0m: {error.said}", str(number)) from error
        if mode == "change":
            self._accept(new)

    def _run_line(self, cib: ET.Element, line: str, tool: str) -> None:
        patterns = {
            "crm": r"location (?P<id>\S+) (?P<rsc>\S+) (?P<score>\S+): (?P<node>\S+)",
            "pcs": r"constraint location add (?P<id>\S+) (?P<rsc>\S+) (?P<node>\S+) (?P<score>\S+)",
        }
        found = re.fullmatch(patterns[tool], line)
        if not found or cib.find(f".//*[@id='{found['id']}']") is not None:
            raise ExitError(1, f"cannot understand or make {line}")
        section = cib.find("configuration/constraints")
        assert section is not None
        ET.SubElement(section, "rsc_location", found.groupdict())

    def _add(self, new: ET.Element, text: str) -> None:
        for section in ("resources", "constraints"):
            target = new.find(f"configuration/{section}")
            assert target is not None
            for item in ET.fromstring(text).iterfind(f"configuration/{section}/*"):
                there = target.find(f"*[@id='{item.get('id')}']")
                if there is not None and item.tag == "primitive" and not item.get("class"):
                    _merge(there, item)
                    continue
                if there is not None:
                    self.site.violations.append(f"{item.get('id')} was defined again")
                target.append(item)

    def do_delete(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._writable(host)
        new = copy.deepcopy(self.site.cib)
        self._delete(new, arguments)
        self._accept(new)

    def _delete(self, new: ET.Element, names: list[str]) -> None:
        for name in names:
            if self.site.runs.get(name, Run()).node:
                self.site.violations.append(f"{name} was deleted while it ran")
            for parent in list(new.iterfind("configuration//*")):
                for item in parent.findall(f"*[@id='{name}']"):
                    parent.remove(item)

    def do_set_meta(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        vm, key, value = arguments
        primitive = self.site.primitive(vm)
        if primitive is None:
            raise ExitError(1, f"Resource {vm} does not exist")
        self._writable(host)
        attributes = primitive.find("meta_attributes")
        if attributes is None:
            attributes = ET.SubElement(primitive, "meta_attributes", id=f"{vm}-meta_attributes")
        pair = attributes.find(f"nvpair[@name='{key}']")
        if pair is None:
            pair = ET.SubElement(attributes, "nvpair", id=f"{vm}-meta_attributes-{key}", name=key)
        if pair.get("value") != value:
            pair.set("value", value)
            self.site.edit()

    def do_cleanup(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        run, status = self.site.runs.setdefault(arguments[0], Run()), self.site.find("status")
        run.failed = run.blocked = run.given_up = False
        for item in status.findall("node_state"):
            counted = [pair.get("name", "") for pair in item.iterfind("transient_attributes//nvpair")]
            if item.find(f".//lrm_resource[@id='{arguments[0]}']") is not None or any(
                name.startswith(f"fail-count-{arguments[0]}#") for name in counted
            ):
                status.remove(item)

    def _writable(self, host: Host) -> None:
        if not host.quorate:
            raise ExitError(1, "Update does not conform to the configured quorum policy: no quorum")

    def _accept(self, new: ET.Element) -> None:
        """Take a new CIB, if nothing in it refers to what is not there."""
        self._consistent(new)
        self.site.cib = new
        for name in set(self.site.runs) - {item.get("id") for item in new.iter("primitive")}:
            del self.site.runs[name]
        self.site.definitions += 1
        self.site.edit()

    def _consistent(self, new: ET.Element) -> None:
        """Refuse a CIB in which something refers to what is not there."""
        known = {item.get("id") for path in ("resources//*[@id]", "tags/tag") for item in new.iterfind(f"configuration/{path}")}
        for constraint in new.iterfind("configuration/constraints/*"):
            named = {constraint.get(key) for key in ("rsc", "with-rsc", "first", "then")} - {None}
            if missing := (named | {item.get("id") for item in constraint.iter("resource_ref")}) - known:
                raise ExitError(78, f"Update does not conform to the configured schema: {missing}")

    # --- hypervisors -------------------------------------------------------------------------------------------------

    def do_inspect(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        lines = [f"agent {agent}" for agent in host.agents]
        if arguments[0] in host.files:
            lines.append(f"file {hashlib.sha256(host.files[arguments[0]].encode()).hexdigest()}")
        for name, uuid in host.domains.items():
            lines += [f"domain {name}", f"uuid {uuid}"]
        lines += [f"uuid {uuid}" for text in host.files.values() for uuid in re.findall("<uuid>([^<]+)</uuid>", text)]
        for uuid, usage in host.secrets:
            lines += [f"secret {uuid}", f"<secret><uuid>{uuid}</uuid><usage type='ceph'><name>{usage}</name></usage></secret>"]
        return "\n".join(lines) + "\n"

    def do_validate(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if host.refuses_domain:
            raise ExitError(1, host.refuses_domain)

    def do_write_file(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        assert hashlib.sha256(stdin.encode()).hexdigest() == arguments[1]
        host.files[arguments[0]] = stdin

    def do_remove_file(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.files.pop(arguments[-1], None)

    def do_state(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        run = self.site.runs.get(options["domain"])
        if run is None or run.node != host.name:
            raise ExitError(1, f"error: failed to get domain '{options['domain']}'")
        return "paused\n\n" if run.still and self.site.seconds < run.still[2] and run.still[0] == "resume" else "running\n\n"

    def do_destroy(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        run = self.site.runs.get(arguments[0])
        if run and run.node == host.name:
            self.site.move(arguments[0], run, None)

    def do_quiesce(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        vm, unit, limit, freeze, pause = arguments
        run = self.site.runs.get(vm)
        if run is None or run.node != host.name:
            raise ExitError(1, f"error: failed to get domain '{vm}'")
        until = self.site.seconds + float(limit)
        if freeze == "yes" and vm in self.site.agents:
            run.still = "domfsthaw", unit, until
            return "frozen\n"
        said = (
            "awake error: Guest agent is not responding: QEMU guest agent is not connected\n" if freeze == "yes" else "awake\n"
        )
        if pause == "yes":
            run.still = "resume", unit, until
        return f"{said if freeze == 'yes' else ''}paused\n" if pause == "yes" else said

    def do_release(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        vm, token, strict = arguments
        run, ended = self.site.runs.get(vm), ""
        if run is not None and run.still is not None and run.node == host.name:
            (way, unit, until), run.still = run.still, None
            assert unit == token
            ended = f"{way}\n" if self.site.seconds < until else ""
        if strict == "yes" and not ended:
            raise ExitError(75, "The guest did not hold still.")
        return ended


def _merge(there: ET.Element, more: ET.Element) -> None:
    """Change what is there into what it is with more of it (cibadmin --modify)."""
    for item in more:
        same = there.find(f"{item.tag}[@id='{item.get('id')}']")
        if same is None:
            there.append(item)
        else:
            same.attrib.update(item.attrib)
            _merge(same, item)


def _arguments(argv: tuple[str, ...], name: str) -> list[str]:
    """Return what comes after the words that say what is to be done."""
    if argv[0] == "sh":
        return list(argv[4:])
    words = [word for word in argv[1:] if not word.startswith("--")]
    if argv[0] == "crm_resource":
        return [word.split("=", 1)[1] for word in argv if "=" in word]
    return words[2:] if argv[0] in {"crm", "pcs"} else words


_PLAIN = {
    ("cibadmin", "--query"): "cib",
    ("crm_simulate", "--live-check"): "simulate",
    ("crm_simulate", "--xml-pipe"): "foresee",
    ("cibadmin", "--create"): "lease_take",
    ("cibadmin", "--delete"): "lease_drop",
    ("cibadmin", "--replace"): "lease_replace",
    ("crm", "configure", "load", "xml", "update", "-"): "define",
    ("crm", "configure", "delete"): "delete",
    ("crm_resource", "--cleanup"): "cleanup",
    ("crm_resource", "--meta"): "set_meta",
    ("rm", "-f", "--"): "remove_file",
    ("virsh", "domstate"): "state",
    **GUEST_PLAIN,
    ("true",): "nothing",
    ("rbd", "group", "ls"): "groups",
    ("rbd", "ls"): "images",
    ("rbd", "create"): "create_image",
    ("rbd", "group", "create"): "create_group",
    ("rbd", "group", "image", "add"): "add_to_group",
    ("rbd", "image-meta", "list"): "metadata",
    ("rbd", "snap", "create"): "create_snapshot",
    ("rbd", "snap", "rollback"): "rollback_snapshot",
    ("rbd", "group", "snap", "create"): "create_group_snapshot",
    ("rbd", "group", "snap", "rm"): "remove_group_snapshot",
    ("rbd", "group", "snap", "rollback"): "rollback_group_snapshot",
    ("rbd", "clone"): "clone_image",
    ("rbd", "flatten"): "flatten",
    ("rbd", "rename"): "rename_image",
    ("rbd", "group", "rename"): "rename_group",
    ("rbd", "snap", "purge"): "purge_snapshots",
    ("rbd", "snap", "unprotect"): "unprotect",
    ("rados", "put"): "store_put",
}


_OPTIONS_TELL = {"cibadmin", "crm_resource", "crm_simulate", "rm"}


def command_name(argv: tuple[str, ...]) -> str:
    """Return the name of the command's template."""
    if argv[:2] == ("sh", "-c"):
        return TEMPLATE_OF[argv[2]]
    if argv[0] == "rados" and argv[3].startswith("vm-mgr-snapshots."):
        return f"records_{argv[2]}"
    words = argv if argv[0] in _OPTIONS_TELL else tuple(word for word in argv if not word.startswith("--"))
    for length in range(6, 0, -1):
        if words[:length] in _PLAIN:
            return _PLAIN[words[:length]]
    raise AssertionError(f"The fake site does not know {argv}")

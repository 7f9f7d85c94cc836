"""Deploy and undeploy, through the real drivers and templates, on a fake site with a guest."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakeremote import Fault
from fakesite import FakeSite, Guest
from workbench import Bench, add_vm

from vmmgr.drivers.pacemaker.authkey import FALLBACK, FILE
from vmmgr.errors import (
    ChangedHostKeyError,
    ConnectError,
    HostKeyError,
    PartlyDoneError,
    RefusedError,
    SudoError,
    UnreachableError,
    UsageError,
    VmMgrError,
)
from vmmgr.operations.deploy import deploy
from vmmgr.operations.guestnode import NotOnlineError, add_guest_node
from vmmgr.operations.packagefolder import PackageFolder
from vmmgr.operations.preflight import DeployRequest
from vmmgr.operations.removal import repair
from vmmgr.operations.services import ServiceRequest, add_service
from vmmgr.operations.undeploy import undeploy

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Clock

KEY, COROSYNC, OTHER = (b64encode(text).decode() for text in (b"pacemaker's", b"corosync's", b"another's"))
ONLINE = "VM web is guest node web-guest, and online."
NODES = ("obs1", "hv1", "hv2")


def site_with_guest(**guest: Any) -> FakeSite:
    """Return a site with a VM that runs on hv1, and Corosync's key on all nodes."""
    site = FakeSite()
    add_vm(site, "web")
    site.guests["web"] = Guest("guest", **guest)
    for host in site.hosts.values():
        host.files[FALLBACK] = COROSYNC
    return site


def give_key(site: FakeSite, key: str = KEY, nodes: tuple[str, ...] = NODES) -> None:
    """Give nodes Pacemaker's own key."""
    for node in nodes:
        site.hosts[node].files[FILE] = key


def deployed(bench: Bench, **options: Any) -> str:
    """Deploy on the VM web."""
    check = options.pop("check", False)
    return bench.run(lambda context: deploy(context, DeployRequest("web", **options), check=check))


def refusal(bench: Bench, **options: Any) -> tuple[str, ...]:
    """Deploy, expect that nothing is changed, and return the problems."""
    before = bench.site.state()
    with pytest.raises(RefusedError) as caught:
        deployed(bench, **options)
    assert bench.site.state() == before
    return caught.value.problems


@pytest.fixture
def folder(tmp_path: Path) -> PackageFolder:
    """A folder of packages."""
    path = tmp_path / "pacemaker-remote_2.1.5-1_all.deb"
    path.write_bytes(b"x" * 1000)
    return PackageFolder((path,), ".deb", 1000, "2.1.5")


def test_a_bare_guest_becomes_a_node(clock: Clock) -> None:
    """Packages, a new key for all, the daemon, and then one change of the cluster; the VM runs on, and each step is told."""
    bench = Bench(site := site_with_guest(), clock)
    assert deployed(bench) == ONLINE
    guest, keys = site.guests["web"], {host.files[FILE] for host in site.hosts.values()}
    assert keys == {guest.files[FILE]}
    assert (guest.active, guest.enabled, guest.record) == (True, True, ["libqb100", "pacemaker-remote", "resource-agents"])
    assert site.guest_nodes() == {"web-guest": "web"}
    assert site.images["system_web"].metadata["_remote_node_address"] == "10.0.0.101"
    assert (site.definitions, site.leases(), site.violations, site.runs["web"].node) == (1, [], [], "hv1")
    assert bench.told.said == [
        "Installing in Debian GNU/Linux 12 (bookworm).",
        "Installed 3 packages.",
        f"obs1, hv1, hv2 got the key {FILE}, for root and haclient only.",
        "The guest has the key, and pacemaker_remote is started.",
    ]


def test_again_changes_nothing(clock: Clock) -> None:
    """Whether or not the options are repeated, and it takes no lease."""
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench, node="node1", port=3122)
    before = site.state()
    assert site.guests["web"].port == "3122"
    for options in ({}, {"node": "node1", "port": 3122, "address": "10.0.0.101"}, {"check": True}):
        assert deployed(bench, **options) == "VM web is guest node node1 already, and online; nothing was changed."
        assert bench.remote.changes == []
    assert site.state() == before
    assert "guest node already" in refusal(bench, node="other")[0]


def test_check_changes_nothing(clock: Clock) -> None:
    """It tells what there is and what would be installed."""
    bench = Bench(site := site_with_guest(), clock)
    before = site.state()
    words = "VM web can become guest node web-guest at 10.0.0.101: Debian GNU/Linux 12 (bookworm), pacemaker-remote 2.1.5-1"
    assert deployed(bench, check=True) == f"{words} to be installed."
    assert site.state() == before


@pytest.mark.parametrize("missing", ["packages", "key", "active", "firewall", "rights", "node", "node's key"])
def test_what_is_missing_is_made_up_for(clock: Clock, missing: str) -> None:
    """A guest node that was half taken apart becomes whole again, and no more is done than that takes."""
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench)
    guest = site.guests["web"]
    before = site.state()
    match missing:
        case "packages":
            guest.packages, guest.record, guest.active = ["bash"], [], False
        case "key":
            del guest.files[FILE]
        case "active":
            guest.active = False
        case "firewall":
            guest.firewall = False
        case "rights":
            guest.node["rights"] = "root:root:644"
        case "node":
            bench.run(lambda context: undeploy(context, "web"))
            guest.packages, guest.active = [*guest.packages, "pacemaker-remote"], False
        case _:
            del site.hosts["hv2"].files[FILE]
    assert deployed(bench) == ONLINE
    assert deployed(bench).endswith("nothing was changed.")
    assert "rights" not in guest.node
    if missing not in {"firewall", "node"}:
        assert site.state()["files"] == before["files"]
        assert guest.lasting() == before["guests"]["web"]


def test_packages_come_from_a_folder(clock: Clock, folder: PackageFolder) -> None:
    """A guest without package sources is sent the files, which are removed again."""
    bench = Bench(site := site_with_guest(source=False), clock)
    assert deployed(bench, packages=folder) == ONLINE
    assert site.guests["web"].folders == {}
    assert bench.told.said[0] == "Sending 1 packages, 0 MiB."


def test_without_sources_and_without_a_folder(clock: Clock) -> None:
    """The package manager's own words are told, and all is as before."""
    bench = Bench(site := site_with_guest(source=False), clock)
    before = site.state()
    with pytest.raises(VmMgrError, match="Unable to locate package pacemaker-remote"):
        deployed(bench)
    assert site.state() == before


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_key_that_is_there_is_used(clock: Clock) -> None:
    """It goes to the guest, and to nodes that lack it."""
    bench = Bench(site := site_with_guest(), clock)
    give_key(site, nodes=("hv1",))
    assert deployed(bench) == ONLINE
    assert [host.files[FILE] for host in (*site.hosts.values(), site.guests["web"])] == [KEY] * 4


def test_corosyncs_key_stays_in_use_where_others_rely_on_it(clock: Clock) -> None:
    """A new key would cut off the guest nodes that there are."""
    bench = Bench(site := site_with_guest(), clock)
    add_vm(site, "db")
    site.guests["db"] = Guest("db guest", address="10.0.0.102", active=True, enabled=True, files={FILE: COROSYNC})
    from vmmgr.drivers.pacemaker.guestnode import GuestNode

    bench.run(lambda context: add_guest_node(context, "db", GuestNode("db-guest", "10.0.0.102")))
    assert deployed(bench) == ONLINE
    assert site.guests["web"].files[FILE] == COROSYNC
    assert all(FILE not in host.files for host in site.hosts.values())


def test_different_keys_become_one_where_nobody_relies_on_them(clock: Clock) -> None:
    """Debian's packages make another one on every machine; they come back when the deployment fails."""
    bench = Bench(site := site_with_guest(), clock)
    give_key(site)
    site.hosts["hv2"].files[FILE] = OTHER
    before = site.state()
    site.guests["web"].unreachable, site.guests["web"].firewall = {"hv2"}, False
    with pytest.raises(VmMgrError, match="cannot be reached from hv2"):
        deployed(bench)
    assert site.state()["files"] == before["files"]
    site.guests["web"].unreachable = set()
    assert deployed(bench) == ONLINE
    assert [host.files[FILE] for host in (*site.hosts.values(), site.guests["web"])] == [KEY] * 4


def rely_on_keys(site: FakeSite) -> None:
    """Let there be a remote node."""
    site.resources.append(ET.fromstring('<primitive id="far" class="ocf" provider="pacemaker" type="remote"/>'))


def test_different_keys_are_refused_where_somebody_may_rely_on_one(clock: Clock) -> None:
    """Which is the right one, only an administrator can know."""
    bench = Bench(site := site_with_guest(), clock)
    give_key(site)
    rely_on_keys(site)
    site.hosts["hv2"].files[FILE] = OTHER
    (problem,) = refusal(bench)
    assert "The nodes have different keys in /etc/pacemaker/authkey" in problem
    assert "hv2: " in problem


def test_no_key_at_all_and_somebody_who_relies_on_one(clock: Clock) -> None:
    """Corosync's must be the same then."""
    bench = Bench(site := site_with_guest(), clock)
    rely_on_keys(site)
    del site.hosts["hv1"].files[FALLBACK]
    (problem,) = refusal(bench)
    assert "neither /etc/pacemaker/authkey nor the same /etc/corosync/authkey" in problem


def test_a_new_key_needs_all_nodes(clock: Clock) -> None:
    """One that is away would not have it later; where there is a key already, it only is named."""
    bench = Bench(site := site_with_guest(), clock)
    site.hosts["hv2"].reachable, site.hosts["hv2"].node["online"] = False, "false"
    (problem,) = refusal(bench)
    assert problem == "hv2 does not answer, and no node has a key yet: all must get the same."
    give_key(site, nodes=("obs1", "hv1"))
    assert deployed(bench) == ONLINE
    assert "hv2 does not answer and is left out; it must have the same key" in bench.told.warnings[0]


def test_another_key_that_nobody_uses_is_replaced(clock: Clock) -> None:
    """Debian's package makes one when it is installed; who deploys is told, and it comes back when the deployment fails."""
    guest = {"packages": ["bash", "pacemaker-remote"], "active": True, "enabled": True, "files": {FILE: OTHER}}
    bench = Bench(site := site_with_guest(**guest, firewall=False, unreachable={"hv2"}), clock)
    give_key(site)
    before = site.state()
    with pytest.raises(VmMgrError, match="cannot be reached from hv2"):
        deployed(bench)
    assert site.state() == before
    site.guests["web"].unreachable = set()
    deployed(bench, check=True)
    assert site.state() == before
    assert deployed(bench) == ONLINE
    assert site.guests["web"].files[FILE] == KEY
    assert (
        bench.told.warnings
        == [f"VM web has another key in {FILE}, which no cluster uses now; it is replaced by that of the nodes."] * 3
    )


def test_another_key_that_is_in_use_is_refused(clock: Clock) -> None:
    """It belongs to another cluster: neither is it replaced, nor removed by undeploy."""
    bench = Bench(site := site_with_guest(files={FILE: OTHER}, connected=True), clock)
    give_key(site)
    (problem,) = refusal(bench)
    assert "VM web has another key than the cluster's nodes" in problem
    assert "stop pacemaker_remote in the guest" in problem
    with pytest.raises(RefusedError, match="another key than the cluster's nodes"):
        bench.run(lambda context: undeploy(context, "web"))


@pytest.mark.parametrize("own", [True, False])
def test_the_key_is_shown_to_nobody(clock: Clock, folder: PackageFolder, own: bool) -> None:
    """Not on a command line, not in what is said, not in a dry run; whether it is there or made."""
    bench = Bench(site := site_with_guest(), clock)
    if own:
        give_key(site)
    value, runner = bench.rehearse(lambda context: deploy(context, DeployRequest("web", packages=folder)))
    text = runner.text(bench.context.generated)
    assert value == ONLINE
    assert "its standard input is secret and not shown" in text
    assert "remote-node" in text
    deployed(bench, packages=folder)
    key = site.guests["web"].files[FILE]
    words = " ".join(" ".join(argv) for _, batch in bench.remote.changes for argv, _ in batch)
    for shown in (text, words, "".join(bench.told.said)):
        assert key not in shown
    written = [stdin for _, batch in bench.remote.changes for _, stdin in batch if stdin == key]
    assert len(written) == (1 if own else 4)


def test_a_dry_run_changes_nothing(clock: Clock) -> None:
    """What is printed are the commands on nodes and in the guest, in their order."""
    bench = Bench(site := site_with_guest(), clock)
    before = site.state()
    _, runner = bench.rehearse(lambda context: deploy(context, DeployRequest("web")))
    hosts = [item.host for item in runner.plan if not isinstance(item, str)]
    assert hosts == ["obs1", "guest web", "obs1", "hv1", "hv2", "guest web", "obs1", "obs1"]
    assert site.state() == before


# --- what stands in the way ------------------------------------------------------------------------------------------


def test_all_problems_come_in_one_message(clock: Clock) -> None:
    """Somebody else, the name, the keys, the port from one hypervisor, space, and another key in the guest."""
    bench = Bench(site := site_with_guest(free=1000, files={FILE: OTHER}, connected=True, unreachable={"hv2"}), clock)
    give_key(site)
    rely_on_keys(site)
    site.hosts["hv2"].files[FILE] = OTHER
    add_vm(site, "db")
    problems = refusal(bench, node="db")
    for number, words in enumerate(
        (
            "The nodes have different keys",
            "The cluster has a node, resource or VM db already",
            "10.0.0.101 port 3121/tcp cannot be reached from hv2.",
            "VM web has 0 MiB left on /usr, /var or /var/tmp, and 250 MiB are needed",
            "VM web has another key than the cluster's nodes",
        )
    ):
        assert words in problems[number]


def test_a_vm_that_does_not_run(clock: Clock) -> None:
    """There is no guest to install anything in."""
    site = site_with_guest()
    add_vm(site, "off", running=False)
    bench = Bench(site, clock)
    with pytest.raises(RefusedError, match="VM off is Stopped, and only in a guest that runs"):
        bench.run(lambda context: deploy(context, DeployRequest("off")))
    with pytest.raises(RefusedError, match="There is no VM none"):
        bench.run(lambda context: deploy(context, DeployRequest("none")))


def test_an_unknown_system(clock: Clock) -> None:
    """Its name is told, and what would do."""
    bench = Bench(site_with_guest(managers=[], system='PRETTY_NAME="Alpine Linux v3.19"'), clock)
    (problem,) = refusal(bench)
    assert problem == ("VM web runs Alpine Linux v3.19, which has no package manager that vm-mgr knows (apt-get, dnf, zypper).")


def test_packages_of_another_kind(clock: Clock, tmp_path: Path) -> None:
    """A folder of .rpm files is of no use with apt."""
    bench = Bench(site_with_guest(), clock)
    (problem,) = refusal(bench, packages=PackageFolder((tmp_path,), ".rpm", 10, "2"))
    assert problem == "VM web runs Debian GNU/Linux 12 (bookworm), which takes .deb files, not .rpm."


def test_no_root_in_the_guest(clock: Clock) -> None:
    """By itself it is a failed login; with other problems it is one of them."""
    bench = Bench(site := site_with_guest(sudo=False), clock)
    with pytest.raises(SudoError, match="guest web: sudo does not let"):
        deployed(bench)
    rely_on_keys(site)
    give_key(site, OTHER, ("hv1",))
    give_key(site, KEY, ("hv2",))
    problems = refusal(bench)
    assert "different keys" in problems[0]
    assert "sudo does not let" in problems[1]


def test_a_guest_that_cannot_be_reached(clock: Clock) -> None:
    """By itself it is a connection that failed; the hypervisors that cannot reach its port are named as well."""
    bench = Bench(site := site_with_guest(unreachable={"workstation", "hv1"}), clock)
    (first, second) = refusal(bench)
    assert "port 3121/tcp cannot be reached from hv1." in first
    assert second == "guest web does not answer.\nguest web by its agent on hv1 does not answer."
    site.guests["web"].unreachable, site.guests["web"].address = {"workstation"}, "10.0.0.102"
    with pytest.raises(VmMgrError):
        deployed(bench, address="10.0.0.101")


def test_a_guest_that_only_its_hypervisor_reaches(clock: Clock) -> None:
    """The connection is passed on there."""
    bench = Bench(site_with_guest(unreachable={"workstation"}), clock)
    assert deployed(bench, user="admin") == ONLINE
    assert "guest web through hv1" in bench.remote.guests
    assert bench.remote.users == ["admin"]


def test_a_guest_that_only_its_agent_lets_in(clock: Clock, folder: PackageFolder) -> None:
    """All of it, packages too, goes that way, and so does undeploy; it is told why."""
    bench = Bench(
        site := site_with_guest(unreachable={"workstation"}, refuses=UnreachableError("sshd is off."), agent=True), clock
    )
    before = site.state()
    assert deployed(bench, user="admin", packages=folder) == ONLINE
    assert bench.told.said[0] == "SSH does not lead into the guest, so its agent on hv1 runs the commands. sshd is off."
    assert list(bench.remote.guests) == ["guest web by its agent on hv1"]
    assert deployed(bench).endswith("nothing was changed.")
    bench.run(lambda context: undeploy(context, "web"))
    assert site.state()["guests"] == before["guests"]
    assert bench.told.warnings == []


def test_a_host_key_that_changed_is_warned_of(clock: Clock) -> None:
    """Nobody is between a hypervisor and its guest's agent; but whoever is between here and sshd there is not passed over."""
    bench = Bench(site_with_guest(refuses=ChangedHostKeyError("It shows another key."), agent=True), clock)
    assert deployed(bench, check=True).startswith("VM web can become")
    (warning,) = bench.told.warnings
    assert warning == "SSH does not lead into the guest, so its agent on hv1 runs the commands. It shows another key."
    bench = Bench(site_with_guest(refuses=HostKeyError("Its key is not known."), agent=True), clock)
    deployed(bench, check=True)
    assert (len(bench.told.said), bench.told.warnings) == (1, [])
    bench = Bench(site_with_guest(refuses=ChangedHostKeyError("It shows another key."), unreachable={"hv9"}), clock)
    with pytest.raises(ChangedHostKeyError, match=r"^It shows another key\.\nguest web by its agent on hv1 does not answer\.$"):
        deployed(bench)


def test_addresses_are_asked_for_when_they_are_not_clear(clock: Clock) -> None:
    """Several, or none: --address says which."""
    bench = Bench(site := site_with_guest(), clock)
    site.more_addresses = ["agent  eth1  52:54:00:00:00:02  ipv4  10.9.0.1/24"]
    assert refusal(bench) == (
        "VM web has the addresses 10.0.0.101, 10.9.0.1; choose the one for Pacemaker: give it with --address.",
    )
    assert deployed(bench, address="10.0.0.101") == ONLINE
    del site.guests["web"]
    bench = Bench(site := site_with_guest(), clock)
    site.guests["other"] = site.guests.pop("web")
    assert "tell the address of VM web; give it with --address" in refusal(bench)[0]


def test_a_port_that_opens_for_one_hypervisor_only(clock: Clock) -> None:
    """A firewall in the guest hides what is between; it is found when the daemon runs, and everything is undone."""
    bench = Bench(site := site_with_guest(firewall=False, unreachable={"hv2"}), clock)
    before = site.state()
    with pytest.raises(VmMgrError, match=r"10\.0\.0\.101 port 3121/tcp cannot be reached from hv2"):
        deployed(bench)
    assert site.state() == before


def test_a_daemon_that_takes_its_time(clock: Clock) -> None:
    """In a slow guest it is minutes until it listens; one that never does is told, and everything is undone."""
    bench = Bench(site := site_with_guest(listens_after=100), clock)
    assert deployed(bench) == ONLINE
    assert site.seconds >= 100
    bench = Bench(site := site_with_guest(listens_after=1000), clock)
    before = site.state()
    with pytest.raises(VmMgrError, match="port 3121/tcp cannot be reached from hv1, hv2"):
        deployed(bench)
    assert site.state() == before


def test_a_daemon_that_ends_at_once(clock: Clock) -> None:
    """It is not waited for: what systemd says of it is told, and everything is undone."""
    bench = Bench(site := site_with_guest(broken="failed\nMain process exited, status=66/NOINPUT.\n"), clock)
    before = site.state()
    with pytest.raises(VmMgrError) as caught:
        deployed(bench)
    words = "pacemaker_remote does not run in guest web: failed / Main process exited, status=66/NOINPUT. "
    assert str(caught.value).startswith(words)
    assert site.state() == before
    assert site.seconds < 10


def test_a_firewall_is_opened(clock: Clock) -> None:
    """And closed again by undeploy."""
    bench = Bench(site := site_with_guest(firewall=False), clock)
    deployed(bench)
    assert site.guests["web"].firewall is True
    assert "firewalld lets 3121/tcp through" in bench.told.said[-1]
    bench.run(lambda context: undeploy(context, "web"))
    assert site.guests["web"].firewall is False


def test_a_second_one_at_once_is_told(clock: Clock) -> None:
    """Whoever comes second learns who works on what since when."""
    site = site_with_guest()
    first, second = Bench(site, clock), Bench(site, clock, "bob@lab")
    seen: list[str] = []

    def meanwhile(_index: int, name: str) -> None:
        if name == "install" and not seen:
            with pytest.raises(RefusedError) as caught:
                deployed(second)
            seen.append(str(caught.value))

    first.remote.before = meanwhile
    assert deployed(first) == ONLINE
    assert "VM web is being worked on (in progress: deploy by ann@desk since" in seen[0]


def test_newer_pacemaker_is_warned_of(clock: Clock, tmp_path: Path) -> None:
    """A guest that is newer than the nodes may not understand them."""
    bench = Bench(site := site_with_guest(), clock)
    properties = site.find("configuration/crm_config/cluster_property_set")
    properties.append(properties.makeelement("nvpair", {"id": "v", "name": "dc-version", "value": "2.1.4-dc6eb4362e"}))
    deployed(bench, check=True)
    assert "Pacemaker in the guest is newer (2.1.5-1) than on the nodes (2.1.4-dc6eb4362e)" in bench.told.warnings[0]


# --- failures --------------------------------------------------------------------------------------------------------


def commands(clock: Clock, folder: PackageFolder) -> int:
    """Return how many commands a deployment takes."""
    bench = Bench(site_with_guest(firewall=False), clock)
    deployed(bench, packages=folder)
    return len(bench.remote.log)


@pytest.mark.parametrize("kind", ["fail", "late", "lost", "SIGINT"])
@pytest.mark.parametrize("effect", [True, False])
def test_fault_at_every_command(clock: Clock, folder: PackageFolder, kind: str, effect: bool) -> None:
    """Whatever goes wrong, and whether or not the command did its work: all is as before, or done, or the rest is told."""
    undone = 0
    for index in range(commands(clock, folder)):
        bench = Bench(site := site_with_guest(firewall=False), clock)
        before = site.state()
        bench.remote.faults = {index: Fault(kind, effect)}
        try:
            deployed(bench, packages=folder)
            continue
        except KeyboardInterrupt:
            code = 130
        except VmMgrError as error:
            code, said = error.exit_code, str(error)
        undone += site.state() == before
        if site.state() != before and code != 130:
            assert code in {1, 5}, (index, bench.remote.log[index])
            assert site.guest_nodes() or site.leases() or "could not be undone" in said, (index, bench.remote.log[index])
        assert site.runs["web"].node == "hv1"
        assert site.violations == []
    assert undone > 10


def test_what_cannot_be_undone_is_told(clock: Clock) -> None:
    """Packages that others need at once stay, with the reason, and so does the mark."""
    bench = Bench(site := site_with_guest(firewall=False, unreachable={"hv2"}, needed="booth"), clock)
    with pytest.raises(PartlyDoneError) as caught:
        deployed(bench)
    text = str(caught.value)
    assert "This could not be undone:\nWhat was installed on guest web stays, for other packages need it: booth" in text
    assert "`vm-mgr repair -n web`" in text
    assert (site.leases(), site.guests["web"].active) == (["web"], False)


def test_killed_at_every_command(clock: Clock, folder: PackageFolder) -> None:
    """A workstation that is lost leaves a VM that runs and says so; repair takes the mark, and deploy finishes it."""
    bench = Bench(site_with_guest(firewall=False), clock)
    for where, site in bench.left_behind(lambda context: deploy(context, DeployRequest("web", packages=folder))):
        site.seconds += 10_000
        other = Bench(site, clock, "bob@lab")
        other.run(lambda context: repair(context, "web"))
        assert site.leases() == [], where
        assert deployed(other, packages=folder).startswith("VM web is guest node web-guest")
        other.run(lambda context: undeploy(context, "web"))
        assert (site.guests["web"].active, site.guests["web"].packages, site.guest_nodes()) == (False, ["bash"], {}), where


def test_a_way_that_opens_too_late(clock: Clock) -> None:
    """Why it was given up is told as it was seen then, also where it would be otherwise a moment later."""
    bench = Bench(site := site_with_guest(), clock)
    before, unreachable = site.state(), site.guests["web"].unreachable
    began: list[float] = []
    late: list[str] = []

    def meanwhile(_index: int, name: str) -> None:
        if name == "start":
            began.append(site.seconds)
            unreachable.add("hv2")
        if name == "reach" and began and site.seconds > began[0] + 20:
            late.append(name)
            if len(late) > 2:
                unreachable.clear()

    bench.remote.before = meanwhile
    with pytest.raises(VmMgrError, match="cannot be reached from hv2"):
        deployed(bench)
    assert site.state()["guests"] == before["guests"]


def test_a_guest_that_does_not_let_pacemaker_in(clock: Clock) -> None:
    """The cluster is as before, or Pacemaker would restart the VM for it; what stays in the guest is told."""
    bench = Bench(site := site_with_guest(), clock)

    def meanwhile(_index: int, name: str) -> None:
        if name == "lease_drop":
            return
        if site.guest_nodes():
            site.guests["web"].files[FILE] = OTHER

    bench.remote.before = meanwhile
    with pytest.raises(VmMgrError) as caught:
        deployed(bench)
    assert caught.value.exit_code == 5
    assert isinstance(caught.value.__cause__, NotOnlineError)
    assert "What was installed in the guest stays there; `vm-mgr deploy -n web` tries again" in str(caught.value)
    assert (site.guest_nodes(), site.leases()) == ({}, [])


# --- undeploy --------------------------------------------------------------------------------------------------------


def test_undeploy_takes_it_all_back(clock: Clock) -> None:
    """First the cluster, then the guest; the key stays on the nodes. Again, nothing is changed."""
    bench = Bench(site := site_with_guest(), clock)
    before = site.state()
    deployed(bench)
    words = bench.run(lambda context: undeploy(context, "web"))
    assert words == "VM web is no guest node, and nothing of it is left in the guest."
    after = site.state()
    assert after.pop("files").keys() - before.pop("files").keys() == {f"{node}:{FILE}" for node in NODES}
    assert after == before
    assert bench.run(lambda context: undeploy(context, "web")).endswith("nothing was changed.")
    assert bench.remote.changes == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"connect_timeout": 0}, "a second at least"),
        ({"port": 0}, "0 is no TCP port"),
        ({"node": "a b"}, "'a b' cannot be the name"),
        ({"address": "-F/tmp/x"}, "'-F/tmp/x' is neither an IP address nor a host name"),
    ],
)
def test_wrong_values(wrong: dict[str, Any], words: str) -> None:
    """Values that no guest node can have are refused before anybody is asked; none is passed over."""
    with pytest.raises(UsageError, match=words):
        DeployRequest("web", **wrong)


def test_undeploy_of_what_others_set_amiss(clock: Clock) -> None:
    """A port that is no number is as none, and an address that is none is refused before anybody connects to it."""
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench, port=3122)
    for pair in site.cib.iter("nvpair"):
        if pair.get("name") == "remote-port":
            pair.set("value", "any")
    with pytest.raises(UsageError, match="'-F/tmp/x' is neither an IP address nor a host name"):
        bench.run(lambda context: undeploy(context, "web", address="-F/tmp/x"))
    assert bench.run(lambda context: undeploy(context, "web")).startswith("VM web is no guest node")


def test_undeploy_leaves_what_others_need(clock: Clock) -> None:
    """Packages that were there before, or that others need by now, stay, and it is said."""
    bench = Bench(site := site_with_guest(packages=["bash", "pacemaker-remote"]), clock)
    deployed(bench)
    assert bench.run(lambda context: undeploy(context, "web")).endswith("and its packages, which were there before, stay.")
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench)
    site.guests["web"].needed = "booth"
    assert "stays, for other packages need it: booth" in bench.run(lambda context: undeploy(context, "web"))


def test_undeploy_needs_the_guest(clock: Clock) -> None:
    """A VM that does not run, or does not answer, cannot be cleaned; the cluster's part alone can be taken back."""
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench)
    before = site.state()
    site.guests["web"].unreachable = {"workstation", "hv1"}
    with pytest.raises((UnreachableError, ConnectError), match="guest web does not answer"):
        bench.run(lambda context: undeploy(context, "web"))
    assert site.state() == before


def test_undeploy_leaves_services_alone(clock: Clock) -> None:
    """They would have nowhere to run: they are named, and nothing is changed."""
    bench = Bench(site := site_with_guest(), clock)
    deployed(bench)
    bench.run(lambda context: add_service(context, ServiceRequest("web", "shop", ("systemd", "shop"))))
    before = site.state()
    with pytest.raises(RefusedError, match="The services shop run in VM web as guest node web-guest"):
        bench.run(lambda context: undeploy(context, "web"))
    assert site.state() == before

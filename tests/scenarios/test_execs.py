"""How often each host is really spoken to: the looks take one exec, and no verb more than three, leases, waits and bulk data aside."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.bench.processes import batches
from tests.scenarios.journey import READING, VERBS, journey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")
LIMIT = 3
# What they read, and the one change.
LESS = dict.fromkeys(READING, 1) | {"start": 2, "stop": 2}
# What only marks a VM or takes the mark away, with the guards before it; what is asked again and again while Pacemaker works; and
# what takes as long as the disks are large.
LEASES = r"cibadmin --(create --scope=crm_config|delete|replace) |sh -c '(head|said)=\$\(cibadmin |sh -c 'cibadmin --query --xpath \"//nvpair"
LOOKS = r"sh -c 'sleep |cibadmin --query$|crm_simulate --live-check |sh -c 'pool=\$1 vm="
BULK = r"rbd --no-progress (group )?snap rollback "


def counts(commands: list[str]) -> bool:
    """Whether an exec counts."""
    aside = (all(re.match(kind, command) for command in commands) for kind in (LEASES, LOOKS))
    return not any(aside) and not any(re.match(BULK, command) for command in commands)


def logins(site: LabSite) -> Counter[str]:
    """Return how many connections each host has taken so far."""
    hosts = [*site.hypervisors, *site.observers]
    return Counter(
        {host: site.on(host, "journalctl", "--boot", "--identifier=sshd").count("Accepted publickey") for host in hosts}
    )


def test_no_verb_takes_more_than_three(site: LabSite, tmp_path: Path) -> None:
    """As the log of ``-vv`` tells; to look at a VM takes one connection and one exec, to start or stop it one exec more."""
    hosts = [*site.hypervisors, *site.observers]
    done, before = defaultdict(list), logins(site)
    for words in journey(site, tmp_path):
        answer = site.vm_mgr("-vv", *words)
        assert answer.code == 0, answer.err
        execs = Counter(host for host, commands in batches(answer.err, hosts) if counts(commands))
        after = logins(site)
        connections, before = after - before, after
        done[words[0]].append((dict(execs), dict(connections)))
        assert execs, words
        assert max(execs.values()) <= LESS.get(words[0], LIMIT), (words, execs, answer.err)
        assert max(connections.values()) == 1, (words, connections)
        if words[0] in {*READING, "start"} - {"show"}:  # which asks the VM's hypervisor, too
            assert len(connections) == 1, (words, connections)
    assert set(done) == VERBS
    for verb, found in done.items():
        print(verb, *found)

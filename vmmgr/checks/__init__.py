"""The checks of a site's machines: tests in pytest's and testinfra's manner, over vm-mgr's own connections.

Each check is a function ``test_NAME`` of a module ``test_TOPIC.py``, and ``TOPIC-NAME`` is its code. What it asks for in its
parameters says where it runs: ``host`` on every machine, ``hypervisor`` on every hypervisor, ``cluster`` once, on a machine that
speaks for all; ``site`` and ``hosts`` may stand beside them. It fails by an assertion whose message is what was seen::

    @explained(why="Without it no VM can run here.", remedy="Start it on {host}: `systemctl start libvirtd`.")
    def test_daemon(hypervisor: Node) -> None:
        \"\"\"libvirt answers.\"\"\"
        assert hypervisor.run("virsh version").succeeded, "it does not answer"

A site's own checks are written in the same way. A check only reads: it may be run more than once, see ``vmmgr.checks.plugin``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of a check before it is run.

    Attributes:
        code: Its name for ever: ``TOPIC-NAME``.
        what: What is as it should be where it passes.
        why: Why that matters.
        remedy: What to do where it fails; ``{host}`` stands for the machine.
    """

    code: str
    what: str
    why: str
    remedy: str


def explained(*, why: str, remedy: str) -> Callable[[F], F]:
    """Say of a check why it matters, and what to do when it fails."""

    def decorate(function: F) -> F:
        function.__dict__.update(vmmgr_why=why, vmmgr_remedy=remedy)
        return function

    return decorate


def describe(module: str, function: Callable[..., Any]) -> Check:
    """Return what is known of a check: the first line of its docstring says what, the rest why, unless it is explained."""
    what, _, rest = (function.__doc__ or function.__name__).strip().partition("\n")
    why = getattr(function, "vmmgr_why", " ".join(rest.split()))
    return Check(code_of(module, function.__name__), what, why, getattr(function, "vmmgr_remedy", ""))


def code_of(module: str, function: str) -> str:
    """Return the code of a check by its names."""
    return "-".join(word.removeprefix("test_").replace("_", "-") for word in (module.rpartition(".")[2], function))

"""The values of an inventory's variables, evaluated one by one as they are needed.

Only the variables that somebody asks for are evaluated, with those that they refer to. So a variable that vm-mgr does not
need may use whatever Ansible offers, or be encrypted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError
from vmmgr.site.files import Opaque, Verbatim
from vmmgr.site.values import printable, shown

if TYPE_CHECKING:
    from vmmgr.site.inventory import Inventory

# values evaluated for one variable, those inside of lists and mappings included; it ends references that multiply
MAX_STEPS = 5_000
# references from variable to variable
MAX_DEPTH = 40


class _Omit:
    """Ansible's ``omit``: as if the variable were not there."""


_OMIT = _Omit()


class _ReasonError(Exception):
    """Why a variable has no value, as the end of a sentence."""


class Evaluator:
    """Evaluates variables of an inventory's hosts."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._groups = {name: list(inventory.members(name)) for name in inventory.groups}
        self._hosts = _Hosts(self, inventory.hosts)
        self._stack: list[tuple[str, str]] = []
        self._steps = 0

    def raw(self, host: str) -> Mapping[str, object]:
        """Return a host's variables, not evaluated."""
        return self._hosts[host].raw

    def value(self, host: str, name: str) -> object:
        """Return the value of a variable; None if there is none or it is null.

        Raises:
            ConfigurationError: it cannot be evaluated; the message has host, variable and expression.
        """
        scope = self._hosts[host]
        if name not in scope:
            return None
        self._steps = 0
        self._stack.clear()
        try:
            value = scope[name]
        except _ReasonError as error:
            raise ConfigurationError(
                f"In the inventory, {name} of {host} is {shown(scope.raw[name])} and cannot be evaluated here: {error}. Only "
                "plain expressions are supported. Give its value in one more inventory file, which may hold just that "
                f"(ansible {host} -m debug -a var={name} shows it)."
            ) from None
        return None if value is _OMIT else value

    def enter(self, scope: _Scope, name: str, value: object) -> object:
        """Return the value of a scope's variable, guarded against variables that refer to themselves."""
        place = (scope.host, name)
        if place in self._stack:
            raise _ReasonError(f"it refers to itself through {' and '.join(item for _, item in self._stack)}")
        if len(self._stack) >= MAX_DEPTH:
            raise _ReasonError(f"it refers to other variables more than {MAX_DEPTH} levels deep")
        self._stack.append(place)
        try:
            return self._evaluate(value, scope, 0)
        finally:
            self._stack.pop()

    def _evaluate(self, value: object, scope: _Scope, depth: int) -> object:
        self._steps += 1
        if self._steps > MAX_STEPS or depth > MAX_DEPTH:
            raise _ReasonError("it refers to too many other values")
        if isinstance(value, Opaque):
            raise _ReasonError(f"{scope.host} has {value!r} there, which only Ansible can read")
        if isinstance(value, Verbatim):
            return str(value)
        if isinstance(value, str):
            return _render(value, scope) if "{{" in value or "{%" in value or "{#" in value else value
        if isinstance(value, list):
            return [self._evaluate(item, scope, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self._evaluate(item, scope, depth + 1) for key, item in value.items()}
        return value

    def scope(self, host: str) -> _Scope:
        """Return what expressions of a host see: its variables and those that Ansible sets itself."""
        own = self._inventory.variables(host)
        magic = {
            "inventory_hostname": host,
            "inventory_hostname_short": host.partition(".")[0],
            "inventory_dir": str(self._inventory.folders[host]),
            "groups": self._groups,
            "group_names": sorted(self._inventory.groups_of(host)),
            "hostvars": self._hosts,
            "omit": _OMIT,
        }
        return _Scope(self, host, own, magic)


class _Scope(Mapping[str, object]):
    """The variables of a host by name; reading one evaluates it."""

    def __init__(self, evaluator: Evaluator, host: str, raw: dict[str, object], magic: dict[str, object]) -> None:
        self._evaluator = evaluator
        self._magic = magic
        self.host = host
        self.raw = raw

    def __getitem__(self, name: str) -> object:
        if name in self._magic:
            return self._magic[name]
        return self._evaluator.enter(self, name, self.raw[name])

    def __contains__(self, name: object) -> bool:
        return name in self._magic or name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter({**self.raw, **self._magic})

    def __len__(self) -> int:
        return len({**self.raw, **self._magic})


class _Hosts(Mapping[str, _Scope]):
    """Ansible's ``hostvars``: the variables of every host."""

    def __init__(self, evaluator: Evaluator, names: Collection[str]) -> None:
        self._evaluator = evaluator
        self._names = names
        self._scopes: dict[str, _Scope] = {}

    def __getitem__(self, host: str) -> _Scope:
        if host not in self._names:
            raise KeyError(host)
        if host not in self._scopes:
            self._scopes[host] = self._evaluator.scope(host)
        return self._scopes[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _render(text: str, scope: _Scope) -> object:
    # Jinja takes a while to import, and many inventories have no expressions where it matters
    from vmmgr.site import templating

    try:
        return templating.render(text, scope)
    except (_ReasonError, ConfigurationError):
        raise
    except Exception as error:
        # an expression can fail with any exception there is
        raise _ReasonError(printable(str(error)).rstrip(".") or type(error).__name__) from None

"""Writes docs/reference.rst out of the code: ``python docs/reference.py``. A test says when that is to be done again."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr import errors, hookspecs
from vmmgr.drivers import base

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("reference.rst")
INTRODUCTION = """\
.. written by docs/reference.py out of the docstrings of vmmgr/hookspecs.py, drivers/base and vmmgr/errors.py: change those,
   and run it again

Reference for integrators
=========================

``docs/plugins.rst`` tells how these are used. The version of all of them is {version}."""
# What ends vm-mgr without an error of its own.
OTHERS = {0: ("", "What was asked for is done, or was so already."), 130: ("", "Ctrl-C or SIGTERM; what was done is undone.")}


def text() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION.format(version=hookspecs.API), *_hooks(), *_drivers(), *_exit_codes(), ""])


def _hooks() -> Iterator[str]:
    yield from _title("Hooks")
    for name, hook in vars(hookspecs).items():
        if name.startswith("vmmgr_"):
            yield from _entry(f"{name}{inspect.signature(hook)}", hook)
    yield from _title("What hooks are given and return")
    for each in (hookspecs.Operation, hookspecs.Outcome, hookspecs.DriverSpec):
        yield from _entry(each.__name__, each)


def _drivers() -> Iterator[str]:
    for each in (base.Driver, base.ClusterDriver, base.StorageDriver, base.HypervisorDriver, base.GuestDriver):
        yield from _title(each.__name__)
        yield from (*_prose(each), "")
        for name, method in vars(each).items():
            if inspect.isfunction(method) and name != "__init__":
                yield from _entry(f"{name}{inspect.signature(method)}", method)


def _exit_codes() -> Iterator[str]:
    """Yield a row for each exit code and error."""
    yield from _title("Exit codes and errors")
    yield from (".. csv-table::", "   :delim: |", "   :header: Exit code, Outcome, Error, When", "")
    rows = [(code, *other) for code, other in OTHERS.items()]
    for each in vars(errors).values():
        if inspect.isclass(each) and issubclass(each, errors.VmMgrError):
            when = inspect.cleandoc(each.__doc__ or "").partition("\n")[0]
            rows.append((each.exit_code, f"``{each.__name__}``", re.sub(r" \(exit code \d\)", "", when)))
    for code, name, when in sorted(rows, key=lambda row: row[0]):
        yield f"   {code} | ``{errors.OUTCOMES[code]}`` | {name} | {when}"


def _title(words: str) -> tuple[str, ...]:
    return "", words, "-" * len(words), ""


def _entry(title: str, documented: Any) -> Iterator[str]:
    """Yield a definition; annotations lose the quotes that they have because they are not evaluated."""
    name = re.sub(r"'([^']*)'", r"\1", title)
    yield f"``{name}``"
    yield from (f"   {line}".rstrip() for line in _prose(documented))
    yield ""


def _prose(documented: Any) -> Iterator[str]:
    """Yield a docstring's lines, the items of its sections as a field list."""
    for line in inspect.cleandoc(documented.__doc__ or "").splitlines():
        yield re.sub(r"^    (\w+): ", r"    :\1: ", line)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

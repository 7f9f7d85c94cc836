"""Tells plugins of an operation: before it, when they can refuse it, and after it, when they learn what became of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmmgr.errors import OUTCOMES, RefusedError, VmMgrError
from vmmgr.hooks import FAULTS, load_plugins, named_folders, said
from vmmgr.hookspecs import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmmgr.hooks import Plugin
    from vmmgr.hookspecs import Operation
    from vmmgr.operations.reporting import Reporter


@contextmanager
def announced(operation: Operation, reporter: Reporter) -> Iterator[None]:
    """Ask plugins before what is done in this context, and tell them afterwards; a dry run only asks.

    Raises:
        RefusedError: A plugin is against it, or cannot say. Nothing was done.
    """
    plugins = load_plugins()
    for plugin in plugins:
        if plugin.problem:
            reporter.say(f"The plugin {plugin.origin} is not used: {plugin.problem}.", warning=True)
    for origin, problem in named_folders("vmmgr_templates")[1]:
        reporter.say(f"The templates of {origin} are not used: {problem}.", warning=True)
    outcome = _outcome(0)
    try:
        if reasons := _reasons(plugins, operation):
            raise RefusedError(*reasons)
        yield
    except BaseException as error:
        outcome = _outcome_of(error)
        raise
    finally:
        if not operation.dry_run:
            _tell(plugins, operation, outcome, reporter)


def _reasons(plugins: Sequence[Plugin], operation: Operation) -> list[str]:
    """Return all that speaks against an operation."""
    reasons = []
    for plugin in plugins:
        try:
            for reason in plugin.ask("vmmgr_before", operation=operation):
                if not isinstance(reason, str):
                    raise TypeError(f"{reason!r} is no text")
                reasons.append(f"{plugin.origin}: {reason}")
        except FAULTS as error:
            reasons.append(f"{plugin.origin} cannot say whether this may be done here: {said(error)}. Mend or uninstall it.")
    return reasons


def _tell(plugins: Sequence[Plugin], operation: Operation, outcome: Outcome, reporter: Reporter) -> None:
    """Tell what became of an operation; a plugin that fails, or is interrupted because it takes too long, changes nothing."""
    for plugin in plugins:
        try:
            plugin.ask("vmmgr_after", operation=operation, outcome=outcome)
        except (*FAULTS, KeyboardInterrupt) as error:
            reporter.say(f"{plugin.origin} took no note of this: {said(error)}.", warning=True)


def _outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, KeyboardInterrupt):
        return _outcome(130)
    return _outcome(error.exit_code if isinstance(error, VmMgrError) else 1, said(error))


def _outcome(code: int, message: str = "") -> Outcome:
    # an error of a plugin's driver may have an exit code of its own
    return Outcome(OUTCOMES.get(code, OUTCOMES[1]), code, message)

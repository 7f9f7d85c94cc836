"""The errors of vm-mgr and the exit code of each.

An error's text is one or more whole sentences for the person at the terminal: what is wrong with which value or on which
host, and the way out. ``vmmgr.app`` prints it and ends with ``exit_code``; no other place turns errors into exit codes.
"""

from __future__ import annotations

# What each exit code means in a word.
OUTCOMES = {0: "done", 1: "failed", 2: "usage", 3: "refused", 4: "unreachable", 5: "unknown", 130: "interrupted"}


class VmMgrError(Exception):
    """Something failed; base class of every error that vm-mgr reports without a traceback (exit code 1)."""

    exit_code = 1


class UsageError(VmMgrError):
    """The command line or a value on it is wrong; nothing was contacted or changed (exit code 2)."""

    exit_code = 2


class ConfigurationError(UsageError):
    """The configuration file or the inventory cannot be used (exit code 2)."""


class RefusedError(VmMgrError):
    """The state of the site forbids what was asked; nothing was changed (exit code 3).

    Attributes:
        problems: every reason found, one sentence each, so that none has to be discovered by a further attempt.
    """

    exit_code = 3

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ConnectError(VmMgrError):
    """No usable connection to a host (exit code 4)."""

    exit_code = 4


class UnreachableError(ConnectError):
    """The host does not answer: refused, timed out, unknown name."""


class HostKeyError(ConnectError):
    """The host's key is not known here."""


class ChangedHostKeyError(HostKeyError):
    """The host's key is another one than before, or revoked: somebody may be in between."""


class AuthenticationError(ConnectError):
    """The host refuses the user or the key."""


class SudoError(ConnectError):
    """The login is not root, and sudo does not let it run /bin/sh."""


class OutcomeUnknownError(VmMgrError):
    """A change was sent and no answer came back: it may or may not have been made (exit code 5)."""

    exit_code = 5


class ConnectionLostError(OutcomeUnknownError):
    """The connection broke while commands were running."""


class PartlyDoneError(VmMgrError):
    """A part of the work was done, the rest was not, and what was done could not be undone (exit code 5)."""

    exit_code = 5

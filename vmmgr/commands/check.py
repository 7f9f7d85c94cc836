"""``check``."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr.commands.base import SiteLister
from vmmgr.errors import ConfigurationError, UsageError
from vmmgr.text import one_line

if TYPE_CHECKING:
    import argparse

    from vmmgr.checks import Check as Known
    from vmmgr.checks.running import Finding

COLUMNS = ("Code", "Host", "Result", "Seen", "Remedy")
RESULTS = ("passed", "failed", "error", "skipped")
LISTED = ("Code", "What", "Why", "Remedy")


class Check(SiteLister):
    """Look for what would keep VMs from running, moving or being recovered: on all machines at once, changing nothing.

    Prints what is not as it should be. Exit code: 0 if all that was checked is, 1 if anything is not or does not answer.
    """

    code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to check, and how to tell of it."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--host", action="append", default=[], help="check this machine only, not the cluster as a whole; may be repeated"
        )
        parser.add_argument(
            "-k", dest="expression", default="", metavar="EXPR",
            help="only checks whose codes fit, as in pytest: words, and, or, not, brackets: 'ceph and not space'",
        )  # fmt: skip
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="CODE", help="leave out this check; may be repeated"
        )
        parser.add_argument("--all", action="store_true", help="print what passed as well")
        parser.add_argument("--junit", type=Path, metavar="FILE", help="write the findings to a file in JUnit's format, too")
        parser.add_argument("--list", action="store_true", help="print what can be checked, and why; nobody is contacted")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; the findings make its exit code."""
        return super().run(parsed_args) or self.code

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the findings, or the list."""
        if parsed_args.list:
            return LISTED, [(check.code, check.what, check.why, check.remedy) for check in self._known()]
        findings = self._findings(parsed_args)
        self.code = int(any(finding.result in ("failed", "error") for finding in findings))
        shown = [finding for finding in findings if parsed_args.all or finding.result != "passed"]
        return COLUMNS, [row(finding) for finding in shown]

    def _known(self) -> list[Known]:
        """Return all checks, those of the site among them if one is chosen."""
        from vmmgr.checks.running import known_checks
        from vmmgr.session import choose_site

        try:
            site = choose_site(**self.chosen())
        except ConfigurationError:
            if any(self.chosen().values()):
                raise
            site = None
        return known_checks(site)

    def _findings(self, parsed_args: argparse.Namespace) -> list[Finding]:
        """Check, and tell how much was checked."""
        from vmmgr.checks.running import Selection, run_checks
        from vmmgr.session import choose_site, reach

        if parsed_args.junit:
            check_writable(parsed_args.junit)
        selection = Selection(parsed_args.host, parsed_args.expression, parsed_args.ignore, parsed_args.junit)
        site = choose_site(**self.chosen())
        began = time.monotonic()
        with reach(site) as remote:
            findings = run_checks(site, remote, selection)
        counts = Counter(finding.result for finding in findings)
        if self.app_args.verbose_level:
            told = ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])
            print(f"{told} in {time.monotonic() - began:.1f} s.", file=sys.stderr)
        return findings


def check_writable(file: Path) -> None:
    """Refuse a file that could not be written in the end.

    Raises:
        UsageError: It says why.
    """
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name a file in it.")
    if not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
        raise UsageError(f"{file} cannot be written: it or its folder is not there, or may not be written to.")


def row(finding: Finding) -> tuple[str, str, str, str, str]:
    """Return a finding as ``COLUMNS``."""
    words = (finding.check.code, finding.host, finding.result, finding.seen, finding.remedy)
    return tuple(one_line(word) for word in words)  # type: ignore[return-value]  # as many as before

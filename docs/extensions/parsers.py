"""The directive ``parsers``: sections of the reference, made of the program's own parsers, so that they cannot be wrong.

cliff's own extension finds commands by their entry points, which vm-mgr's are not, and would repeat the options that all share.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive

from vmmgr.app import COMMANDS, VmMgr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sphinx.application import Sphinx

# How argparse and cliff call the groups of options that many verbs have.
OF_ALL = ("the site",)
PRINTING = ("output formatters", "table formatter", "CSV Formatter", "json formatter", "shell formatter")


class Parsers(Directive):
    """``.. parsers:: before`` has the options before the verb, ``verbs`` a section for each verb, ``printing`` what tables share."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what the argument names."""
        app = VmMgr()
        kinds: dict[str, Callable[[], Iterator[nodes.Node]]] = {
            "before": lambda: options(app.parser, lambda _title: True),
            "verbs": lambda: (section(verb, app) for verb in sorted(COMMANDS)),
            "printing": lambda: options(app.parser_of("status"), lambda title: title in PRINTING),
        }
        return list(kinds[self.arguments[0]]())


def section(verb: str, app: VmMgr) -> nodes.section:
    """Return what there is to say of a verb."""
    parser = app.parser_of(verb)
    found = nodes.section("", nodes.title(verb, verb), ids=[nodes.make_id(verb)], names=[verb])
    groups = [group for group in parser._action_groups if group.title not in (*OF_ALL, *PRINTING)]
    usage = argparse.HelpFormatter(parser.prog, width=100)
    usage.add_usage(None, [action for group in groups for action in actions_of(group)], (), prefix="")
    text = usage.format_help().rstrip()
    found += nodes.literal_block(text, text)
    for text in (parser.description or "").split("\n\n"):
        found += nodes.paragraph("", "", *inline(text))
    found += options(parser, lambda title: title not in (*OF_ALL, *PRINTING))
    if any(group.title in PRINTING for group in parser._action_groups):
        found += nodes.paragraph("", "It prints a table or one thing, and takes the options for that, which are below.")
    return found


def options(parser: argparse.ArgumentParser, wanted: Callable[[str], bool]) -> Iterator[nodes.Node]:
    """Yield the options and arguments of the groups whose titles are wanted."""
    for group in parser._action_groups:
        actions = actions_of(group)
        if actions and wanted(group.title or ""):
            if group.title not in ("positional arguments", "options", "optional arguments", *PRINTING):
                yield nodes.paragraph("", f"{(group.title or '').capitalize()}:")
            yield table(actions)


def actions_of(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """Return the options and arguments of a group, but for ``--help`` and the verb itself."""
    return [action for action in group._group_actions if action.dest not in ("help", "command")]


def table(actions: Iterable[argparse.Action]) -> nodes.option_list:
    """Return the list of options: the spellings of each with the name of its value, and what it does."""
    found = nodes.option_list()
    for action in actions:
        group = nodes.option_group()
        for word in action.option_strings or [str(action.metavar or action.dest)]:
            group += nodes.option("", nodes.option_string("", word), *value(action))
        formatter = argparse.HelpFormatter("vm-mgr")
        meaning = formatter._expand_help(action) if action.help else ""
        found += nodes.option_list_item("", group, nodes.description("", nodes.paragraph("", "", *inline(meaning))))
    return found


def value(action: argparse.Action) -> list[nodes.Node]:
    """Return the name of an option's value; nothing for an option without one, and for an argument, which is its own name."""
    if not action.option_strings or action.nargs == 0:
        return []
    name = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if isinstance(name, tuple):  # the names of several values; the man page's writer takes a blank for the end of one
        name = "\N{NO-BREAK SPACE}".join(name)
    return [nodes.option_argument("", name + ("…" if action.nargs == "+" else ""), delimiter=" ")]


def inline(text: str) -> Iterator[nodes.Node]:
    """Yield a text, what stands between backticks as literals."""
    for number, part in enumerate(re.split("`+", " ".join(text.split()))):
        yield nodes.literal("", part) if number % 2 else nodes.Text(part)


def setup(app: Sphinx) -> dict[str, Any]:
    """Give the directive to Sphinx."""
    app.add_directive("parsers", Parsers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

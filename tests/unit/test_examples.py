"""What README and documentation show: each example is run by a test or says why not, and each option that is named exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.scenarios.test_readme import PAGES
from vmmgr.app import COMMANDS, VmMgr
from vmmgr.topics import TOPICS

ROOT = Path(__file__).parents[2]
# vm-mgr.rst has its options from the parsers, and verbs.rst has a test of its own.
TEXTS = sorted({ROOT / "README.rst", *ROOT.glob("docs/*.rst"), *ROOT.glob("vmmgr/topics/*.rst")} - {ROOT / "docs/verbs.rst"})
# Pages whose sessions are run on the lab; that of deploy by test_deploy.py, for it needs a guest of its own, that of repair by
# test_pages.py, for it needs something broken.
SESSIONS = (*PAGES, "docs/howto-deploy.rst", "docs/howto-repair.rst")
# Options of other programs, each for the pages that may name it.
FOREIGN = {
    "README.rst": {"--down"},
    "docs/from-ansible.rst": {"--check"},
    "docs/checks.rst": {"--fencing", "--junitxml", "--vmmgr-config", "--vmmgr-host", "--vmmgr-ignore", "--vmmgr-inventory"},
}


def name_of(page: Path) -> str:
    """Return a page's path in the checkout, as the name of a test."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the literal blocks of a page, each with the last comment before it since the block before."""
    text = page.read_text(encoding="utf-8")
    pieces = re.split(r"::\n\n((?:(?:    .*)?\n)+)", f"{text}\n")
    return [
        ((re.findall(r"^\.\. (.*)", before, re.MULTILINE) or [""])[-1], block)
        for before, block in zip(pieces[::2], pieces[1::2], strict=False)
    ]


@cache
def options_of(verb: str) -> frozenset[str]:
    """Return the options of a verb; those before it for none."""
    parser = VmMgr().parser_of(verb) if verb else VmMgr().parser
    return frozenset(parser._option_string_actions)


def command_lines(page: Path) -> list[list[str]]:
    """Return the words of all that begins with vm-mgr or with a verb and an option, in blocks and between backticks."""
    text = page.read_text(encoding="utf-8")
    found = [line.strip().removeprefix("$ ") for _, block in blocks(page) for line in block.splitlines()]
    found += [" ".join(literal.split()) for literal in re.findall(r"``([^`]+)``", re.sub(r"::\n\n(    .*\n|\n)+", "\n", text))]
    lines = [re.split(r"\s+", re.sub(r"\s(?:[|<>#]|2>).*", "", line)) for line in found]
    return [line for line in lines if line[0] == "vm-mgr" or (line[0] in COMMANDS and line[1:2] and line[1].startswith("-"))]


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_examples_are_run_or_say_why_not(page: Path) -> None:
    """Each block of a page is a session that is run on the lab, a script that is, or has a comment with the reason."""
    for comment, block in blocks(page):
        run = name_of(page) in SESSIONS and block.lstrip().startswith("$ ")
        assert run or re.match(r"(not run|run): .{5}", comment), f"{name_of(page)}: nothing runs {block!r}"
        assert run or "    $ vm-mgr" not in block or comment.startswith(("not run", "run: tests/")), block
        for file, test in re.findall(r"(tests/\S+\.py)(?:::(\w+))?", comment):
            assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), f"{name_of(page)}: there is no {file}::{test}"


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_verbs_and_options_exist(page: Path) -> None:
    """Each command line names a verb and options that there are; so does each option by itself."""
    for words in command_lines(page):
        before, verb = options_of(""), ""
        rest = words[1:] if words[0] == "vm-mgr" else words
        while rest:
            word = rest.pop(0)
            if word.startswith("-"):
                assert word.partition("=")[0] in (options_of(verb) if verb else before), f"{name_of(page)}: {' '.join(words)}"
                if not verb and word in ("-i", "--site", "--inventory", "--config"):
                    del rest[:1]
            elif not verb and word != word.upper() and word.isascii():
                assert word.replace("-", "_") in COMMANDS, f"{name_of(page)}: {' '.join(words)}"
                verb = word.replace("-", "_")
            elif verb == "help" and word != word.upper():
                assert word in COMMANDS or word in TOPICS, f"{name_of(page)}: {' '.join(words)}"
    known = frozenset[str]().union(*map(options_of, ("", *COMMANDS))) | FOREIGN.get(name_of(page), set())
    alone = set(re.findall(r"``(--[a-z][\w-]*)", page.read_text(encoding="utf-8")))
    assert alone <= known, f"{name_of(page)} names {', '.join(sorted(alone - known))}"

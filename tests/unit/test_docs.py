"""The pages of docs/ against the program and its tests: nothing is missing there, and nothing there is made up."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from vmmgr import errors
from vmmgr.app import COMMANDS, VmMgr
from vmmgr.model import Status
from vmmgr.site.configuration import Settings
from vmmgr.topics import topic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
BEFORE, ALL, PRINTING, AGAIN = (
    "Before the verb",
    "Options of all verbs",
    "Options of verbs that print a table or one thing",
    "The same again",
)


class Row(NamedTuple):
    """A line of a table: the spellings of its first column, and the tests of its last."""

    section: str
    words: frozenset[str]
    tests: tuple[str, ...]


@cache
def rows(page: str) -> tuple[Row, ...]:
    """Return the lines of all tables of a page."""
    found, section, before = [], "", ""
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if line and set(line) == {"-"}:
            section = before
        elif line.startswith("   ``"):
            first, *_, last = line.split(" | ")
            words = frozenset(text.split(" ")[0] for text in re.findall(r"``([^`]+)``", first))
            found.append(Row(section, words, tuple(last.split())))
        before = line
    return tuple(found)


@cache
def defined_in(file: Path) -> frozenset[str]:
    """Return the names of a module's functions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def is_there(test: str) -> bool:
    """Whether FILE::FUNCTION, below tests/, is a test."""
    file, _, function = test.partition("::")
    return function.startswith("test_") and (TESTS / file).is_file() and function in defined_in(TESTS / file)


def spellings(parser: argparse.ArgumentParser) -> Iterator[frozenset[str]]:
    """Yield the spellings of each option of a parser; an argument without an option goes by the name in its help."""
    for action in parser._actions:
        yield frozenset(action.option_strings or [str(action.metavar or action.dest)])


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every verb."""
    app = VmMgr()
    return {name: app.parser_of(name) for name in COMMANDS}


def documented(*sections: str) -> dict[str, Row]:
    """Return the rows of some sections by spelling."""
    return {word: row for row in rows("verbs.rst") if row.section in sections for word in row.words}


def test_every_verb_has_its_section() -> None:
    """The sections after the first four are the verbs, in alphabetical order, each beginning with the verb itself."""
    sections = list(dict.fromkeys(row.section for row in rows("verbs.rst")))
    assert sections == [BEFORE, ALL, PRINTING, AGAIN, *sorted(COMMANDS)]
    for verb in COMMANDS:
        assert next(row for row in rows("verbs.rst") if row.section == verb).words == {verb}


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_is_documented(verb: str) -> None:
    """Each option of a verb stands in its section, or in those of all verbs, with all its spellings."""
    known = documented(ALL, PRINTING) | documented(verb)
    for words in spellings(parsers()[verb]):
        missing = words - set(known)
        assert not missing, f"docs/verbs.rst does not have {', '.join(sorted(missing))} of {verb}; add a line to its section"


def test_options_before_the_verb_are_documented() -> None:
    """The program's own options are there too."""
    options = frozenset[str]().union(*spellings(VmMgr().parser)) - {"COMMAND …"}
    assert options <= set(documented(BEFORE, ALL))


def test_nothing_is_documented_that_is_not_there() -> None:
    """Each line is about a verb or an option that the program has."""
    of_all = frozenset[str]().union(*(words for parser in parsers().values() for words in spellings(parser)))
    for row in rows("verbs.rst"):
        if row.section in COMMANDS:
            there = {row.section}.union(*spellings(parsers()[row.section]))
        elif row.section == BEFORE:
            there = set().union(*spellings(VmMgr().parser))
        elif row.section == AGAIN:
            there = set(COMMANDS)
        else:
            there = set(of_all)
        assert row.words <= there, f"{row.section} has no {', '.join(sorted(row.words - there))}"


@pytest.mark.parametrize("page", ["verbs.rst", "defects.rst"])
def test_every_line_has_tests_that_there_are(page: str) -> None:
    """Each line names at least one test, and all that it names exist; a defect may say why it has none."""
    for row in rows(page):
        if row.tests[:1] == ("none:",) and page == "defects.rst":
            continue
        assert row.tests, f"{page}: {', '.join(sorted(row.words))} of {row.section} has no test"
        made_up = [test for test in row.tests if not is_there(test)]
        assert not made_up, f"{page}: {', '.join(sorted(row.words))} of {row.section} names {', '.join(made_up)}"


def test_tests_use_what_they_are_named_for() -> None:
    """One of the modules named for an option writes it in one of its spellings."""
    for row in rows("verbs.rst"):
        text = "".join((TESTS / test.partition("::")[0]).read_text(encoding="utf-8") for test in row.tests)
        options = [word for word in row.words if word.startswith("-")]
        if options and not row.words & {"--help", "--version"}:
            assert any(f'"{word}"' in text for word in options), f"no test named for {sorted(options)} of {row.section} uses it"


def test_every_check_is_documented() -> None:
    """docs/checks.rst has all packaged checks, with the program's own words, and how each was broken in the lab."""
    from vmmgr.checks.running import known_checks

    lines = [line for line in (ROOT / "docs/checks.rst").read_text(encoding="utf-8").splitlines() if line.startswith("   ``")]
    told = {code.strip(" `"): rest for code, *rest in (line.split(" | ") for line in lines)}
    checks = known_checks(None)
    assert sorted(told) == sorted(known.code for known in checks)
    for known in checks:
        *words, how = told[known.code]
        assert [text.replace("``", "`").replace("HOST", "{host}") for text in words] == [known.what, known.why, known.remedy]
        assert how


def test_every_check_was_broken_in_the_lab() -> None:
    """The scenario breaks something for each packaged check."""
    from vmmgr.checks.running import known_checks

    text = (TESTS / "scenarios/test_check.py").read_text(encoding="utf-8")
    assert not [known.code for known in known_checks(None) if f'"{known.code}"' not in text]


def test_every_defect_is_there() -> None:
    """The 28 known defects of vm_manager are listed in order, and so is every test that is named after one."""
    found = rows("defects.rst")
    assert [row.words for row in found] == [{str(number)} for number in range(1, 29)]
    for file in TESTS.rglob("test_*.py"):
        for name in defined_in(file):
            if match := re.match(r"test_a13_0?(\d+)_", name):
                test = f"{file.relative_to(TESTS)}::{name}"
                assert test in found[int(match[1]) - 1].tests, f"docs/defects.rst does not name {test} in line {match[1]}"


def test_statuses_and_exit_codes_are_documented() -> None:
    """The tables of these topics have a row for each, in the program's order, and none besides."""
    first = re.compile(r"^(\w+)  +\S", re.MULTILINE)
    statuses = first.findall(topic("statuses").partition("What is meant")[0])
    assert statuses == ["Status", *Status]
    codes = first.findall(topic("exit-codes").partition("Data goes")[0])
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.VmMgrError)]
    assert codes == ["Code", "0", *map(str, sorted({kind.exit_code for kind in kinds})), "130", "141"]


def test_configuration_keys_and_variables_are_documented() -> None:
    """The sample, which the page includes, has every key; the topic has every variable that the program reads."""
    sample = yaml.safe_load((ROOT / "etc/vm-mgr.yaml").read_text(encoding="utf-8"))
    shown = set().union(*sample["sites"].values())
    assert shown == {item.name for item in fields(Settings)}
    read = set(re.findall(r"VMMGR_[A-Z_]+", "".join(file.read_text(encoding="utf-8") for file in ROOT.glob("vmmgr/**/*.py"))))
    # the one that is no variable of the environment is a name in a plugin
    assert read - {"VMMGR_API"} == set(re.findall(r"VMMGR_[A-Z_]+", topic("site")))

"""Expressions in an inventory: what is evaluated, what is refused, and that nothing else can happen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ConfigurationError
from vmmgr.site import load_site
from vmmgr.site.evaluation import Evaluator
from vmmgr.site.files import Verbatim
from vmmgr.site.inventory import Inventory
from vmmgr.site.values import shown
from vmmgr.site.varfiles import VariableFiles

if TYPE_CHECKING:
    from conftest import Load


def evaluate(value: object, **variables: object) -> object:
    """Return the value that ``x`` of host n1 has; n2 is another host, both are hypervisors."""
    inventory = Inventory(VariableFiles([]))
    inventory.add_host("n1", "hypervisors", {"x": value, **variables}, Path("/inventories"))
    inventory.add_host("n2", "hypervisors", {"ansible_host": "10.0.0.{{ number }}", "number": 2}, Path("/inventories"))
    return Evaluator(inventory).value("n1", "x")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("plain", "plain"),
        (7, 7),
        ("{{ number }}", 5),
        ("10.0.0.{{ number }}", "10.0.0.5"),
        ("{{ number }}{{ number }}", "55"),
        ("{{ groups['hypervisors'] | length }}", 2),
        ("{{ groups.hypervisors[1] }}", "n2"),
        ("{{ hostvars['n2'].ansible_host }}", "10.0.0.2"),
        ("{{ hostvars[groups['hypervisors'][1]]['ansible_host'] }}", "10.0.0.2"),
        ("{{ inventory_hostname }}/{{ inventory_hostname_short }}/{{ group_names | join(',') }}", "n1/n1/hypervisors"),
        ("{{ inventory_dir }}/key", "/inventories/key"),
        ("{{ nested.list[0].address }}", "10.1.1.5"),
        ("{{ vars['number'] + 1 }}", 6),
        ("{{ absent | default('d') }}", "d"),
        ("{{ number if absent is not defined else lookup('env', 'HOME') }}", 5),
        ("{% if number > 4 %}big{% else %}small{% endif %}", "big"),
        ("{{ '10.0.0.%02d' | format(number) }}", "10.0.0.05"),
        ("{{ 'n%03d' % number }}", "n005"),
        ("{{ number * 100 }}", 500),
        ("{{ '007' }}", "007"),
        ("{{ '1e3' }}", "1e3"),
        ("{{ absent | default(omit) }}", None),
        ("{{ empty }}", None),
        ("a {# comment #}b", "a b"),
    ],
)
def test_values(expression: object, value: object) -> None:
    """Variables, other hosts, groups, nested references, defaults and conditions evaluate as in Ansible; types stay."""
    nested = {"list": [{"address": "10.1.1.{{ number }}"}]}
    assert evaluate(expression, number=5, nested=nested, empty=None) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{{ absent }}", "'absent' is undefined"),
        ("a{{ absent }}b", "'absent' is undefined"),
        ("{{ hostvars['n9'].x }}", "has no attribute 'n9'"),
        ("{{ lookup('pipe', 'touch /tmp/owned') }}", "'lookup' is undefined"),
        ("{{ 'a' | password_hash }}", "No filter named 'password_hash'"),
        ("{{ x }}", "it refers to itself through x"),
        ("{{ y }}", "it refers to itself through x and y"),
        ("{{ vars.x }}", "it refers to itself"),
        ("{{ hostvars.n1.x }}", "it refers to itself"),
        ("{{ unclosed", "unexpected end of template"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{% for i in [1] %}{% endfor %}", "the statement for is not supported"),
        ("{% set a = 1 %}", "the statement assign is not supported"),
        ("{% macro m() %}{% endmacro %}", "the statement macro is not supported"),
        ("{% include '/etc/passwd' %}", "the statement include is not supported"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ hostvars._evaluator }}", "unsafe"),
        ("{{ hostvars.n2._magic }}", "unsafe"),
        ("{{ 'a' * 1000000000 }}", "the operator * is not allowed"),
        ("{{ 9 ** 99999999 }}", "the operator ** is not allowed"),
        ("{{ 9999999 * 9999999 }}", "the operator * is not allowed"),
        ("{{ '%999999999d' % 1 }}", "a field this wide is not allowed"),
        ("{{ '%999999999d' | format(1) }}", "a field this wide is not allowed"),
        ("{{ '%*d' | format(999999999, 1) }}", "a field this wide is not allowed"),
        ("{{ 'a'.center(999999999) }}", "not safely callable"),
        ("{{ '{:99999999}'.format(1) }}", "not safely callable"),
        ("{{ range(99999999) }}", "'range' is undefined"),
        ("{{ lipsum(n=9999) }}", "'lipsum' is undefined"),
        ("{{ [1] | batch(9) }}", "No filter named 'batch'"),
        ("{{ '" + "a" * 10_000 + "' }}", "it has more than 10000 characters"),
        ("{{ ten ~ ten ~ ten }}", "its value has more than 10000 characters"),
    ],
)
def test_refused_expressions(expression: str, reason: str) -> None:
    """What cannot or must not be evaluated is refused quickly, with host, variable, expression, reason and way out."""
    begin = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        evaluate(expression, y="{{ x }}", ten="a" * 4000)
    assert time.monotonic() - begin < 2
    message = str(caught.value)
    assert message.startswith(f"In the inventory, x of n1 is {shown(expression)} and cannot be evaluated here: ")
    assert reason in message
    assert message.endswith("in one more inventory file, which may hold just that (ansible n1 -m debug -a var=x shows it).")


def test_verbatim_text() -> None:
    """Text tagged !unsafe keeps its braces, as in Ansible."""
    assert evaluate(Verbatim("{{ absent }}")) == "{{ absent }}"


def test_chain_of_references() -> None:
    """A long chain of references ends with an error instead of a full stack."""
    chain: dict[str, object] = {f"v{i}": f"{{{{ v{i + 1} }}}}" for i in range(100)}
    with pytest.raises(ConfigurationError, match="more than 40 levels deep"):
        evaluate("{{ v0 }}", **chain)


def test_references_that_multiply() -> None:
    """Lists that double at each level are refused after a bounded number of steps."""
    doubling: dict[str, object] = {f"v{i}": [f"{{{{ v{i + 1} }}}}"] * 2 for i in range(30)}
    begin = time.monotonic()
    with pytest.raises(ConfigurationError, match="refers to too many other values"):
        evaluate("{{ v0 }}", v30=[], **doubling)
    assert time.monotonic() - begin < 5


def test_list_that_contains_itself() -> None:
    """A YAML alias to its own list ends with an error."""
    own: list[object] = []
    own.append(own)
    with pytest.raises(ConfigurationError, match="refers to too many other values"):
        evaluate("{{ own }}", own=own)


def test_vault_where_it_is_not_needed(load: Load) -> None:
    """Encrypted and unknown tagged values are left alone as long as nobody needs them."""
    site = load("hypervisors: {hosts: {n1: {a: !vault x, b: !custom {c: d}, c: '{{ a }}'}}}")
    assert site.machine("n1").address == "n1"


@pytest.mark.parametrize("value", ["!vault x", "'{{ secret }}'"])
def test_vault_where_it_is_needed(load: Load, value: str) -> None:
    """An encrypted address is refused, also when it is reached through another variable."""
    with pytest.raises(
        ConfigurationError, match=r"ansible_host of n1 .* n1 has a !vault value there, which only Ansible can read"
    ):
        load(f"hypervisors: {{hosts: {{n1: {{ansible_host: {value}, secret: !vault y}}}}}}")


def test_override_is_a_way_out(load: Load, tmp_path: Path) -> None:
    """The way out that the message names works: one more file with the value."""
    text = "hypervisors: {hosts: {n1: {ansible_host: \"{{ lookup('dig', 'n1') }}\"}}}"
    with pytest.raises(ConfigurationError, match="one more inventory file"):
        load(text)
    (tmp_path / "more.yaml").write_text("all: {hosts: {n1: {ansible_host: 10.0.0.1}}}")
    site = load_site(site=None, inventories=[tmp_path / "site.yaml", tmp_path / "more.yaml"], config=None, environ={})
    assert site.machine("n1").address == "10.0.0.1"


def test_useful_variable_that_cannot_be_evaluated(load: Load) -> None:
    """A variable that is only useful, such as hostname, costs a warning and not the site."""
    site = load("hypervisors: {hosts: {n1: {hostname: '{{ ansible_facts.hostname }}', livemigration_user: '-x'}}}")
    assert site.machine("n1").hostname is None
    assert site.migration_user is None
    assert site.warnings[0].startswith("n1: hostname is left out. In the inventory, hostname of n1 is '{{ ansible_facts")
    assert site.warnings[1].startswith("n1: livemigration_user is left out. In the inventory, livemigration_user of n1 is '-x'")

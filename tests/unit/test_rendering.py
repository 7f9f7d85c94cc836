"""Rendering: whatever a value holds, it stays a value."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from vmmgr.errors import VmMgrError
from vmmgr.rendering import _UNSAFE_FILTERS, Renderer, TemplateError

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "plain", "", " ", "two words", " edges ", "-rf", "--", "--help", "$(id)", "`id`", "${HOME}", "$HOME", "; id", "&& id", "| id",
    "> /tmp/x", "*", "?", "[a-z]", "~", "#no", "!!", "a'b", "'", "''", 'a"b', '"', '"$(id)"', "'; id; '", "\\", "a\\", "\\\\'", "\\n",
    "line\nbreak", "\n", "tab\there", "\r\n", "\x1b[31m", "\x7f", "\x01", "größe", "日本", "\u202egnp", "\u2028", "\U0001f600",
    "{{ 7 * 7 }}", "{% raw %}", "{# no #}", "=", "a=b", "%s", "%(x)s", "&amp;", "<b>", "]]>", "\ufdd0", "\ufdd1", "x" * 5000,
)  # fmt: skip

# Each way to write a variable, and what the argument must be.
POSITIONS = {
    "bare": ("{{ v }}", "{}"),
    "option": ("--o={{ v }}", "--o={}"),
    "both sides": ("a{{ v }}b", "a{}b"),
    "double quotes": ('"{{ v }}"', "{}"),
    "single quotes": ("'{{ v }}'", "{}"),
    "in a quoted sentence": ("'a {{ v }} b'", "a {} b"),
    "in a mixed word": ("a'b {{ v }}'\"{{ v }}\"", "ab {}{}"),
    "block set": ("{% set w %}{{ v }}{% endset %}{{ w }}", "{}"),
    "macro": ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(v) }}", "{}"),
    "macro in an option": ("{% macro m(x) %}a{{ x }}{% endmacro %}--o={{ m(v) }}", "--o=a{}"),
    "call": ("{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ v }}{% endcall %}", "{}"),
    "block": ("{% block b %}{{ v }}{% endblock %}", "{}"),
    "concatenated": ("{{ 'a' ~ v }}", "a{}"),
    "filtered": ("{{ v | default('x') }}", "{}"),
    "joined": ("{{ [v, v] | join('') }}", "{}{}"),
    "attribute": ("{{ d['k'] }}", "{}"),
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Return a function that puts a template into a site's own folder and returns a renderer that reads it there."""

    def put(text: str, name: str = "t/t.j2") -> Renderer:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return Renderer((tmp_path,))

    return put


@pytest.mark.parametrize("position", POSITIONS)
def test_each_value_stays_in_its_argument(write: Any, position: str) -> None:
    """Every hostile value arrives whole, in every position, with the words around it where they were."""
    template, expected = POSITIONS[position]
    renderer = write(f"program before {template} after")
    for value in HOSTILE:
        argv = renderer.argv("t/t", v=value, d={"k": value})
        assert argv == ("program", "before", expected.replace("{}", value), "after")


def test_a_real_shell_hands_over_the_same_arguments(write: Any) -> None:
    """What is sent, quoted by shlex.join, reaches a program through /bin/sh as exactly these arguments."""
    loop = "{% for x in vs %}{{ x }} --o={{ x }} '{{ x }} {{ x }}' {% endfor %}"
    argv = write("{{ python }} -c 'import sys; sys.stdout.buffer.write(\"\\0\".join(sys.argv[1:]).encode())' " + loop).argv(
        "t/t", python=sys.executable, vs=HOSTILE
    )
    answer = subprocess.run(["/bin/sh"], input=shlex.join(argv).encode(), capture_output=True, check=True)
    wanted = [word for value in HOSTILE for word in (value, f"--o={value}", f"{value} {value}")]
    assert answer.stdout.decode().split("\0") == wanted
    assert answer.stderr == b""


def test_a_value_that_looks_like_a_token_is_a_value(write: Any) -> None:
    """The text of another renderer's token is not decoded, for every renderer has a random word of its own."""
    other = write("p {{ v }}")
    token = other._encode("secret")
    assert Renderer(other._folders).argv("t/t", v=token) == ("p", token)


def test_an_include_renders_like_the_template_itself(write: Any) -> None:
    """A value inside an included file and inside an imported macro stays one argument."""
    write("--in={{ v }}", "t/part.j2")
    write("{% macro m(x) %}{{ x }}{% endmacro %}", "t/lib.j2")
    renderer = write("p {% include 't/part.j2' %} {% from 't/lib.j2' import m %}{{ m(v) }}")
    assert renderer.argv("t/t", v="a 'b'; c") == ("p", "--in=a 'b'; c", "a 'b'; c")


def test_numbers_are_written_as_numbers(write: Any) -> None:
    """Whole and fractional numbers stand as they are."""
    assert write("p {{ a }} {{ b }}B").argv("t/t", a=1.5, b=10**20) == ("p", "1.5", f"{10**20}B")


@pytest.mark.parametrize("value", [None, True, False, ["a"], {"a": "b"}, b"bytes", object(), ("a",)])
@pytest.mark.parametrize("template", ["p {{ v }}", "p --o={{ v }}", "p '{{ v }}'"])
def test_what_is_no_text_is_refused(write: Any, template: str, value: object) -> None:
    """A value that is neither text nor number is a mistake, and the message names its type and the template."""
    with pytest.raises(TemplateError, match=rf"t/t\.j2.*{type(value).__name__}"):
        write(template).argv("t/t", v=value)


@pytest.mark.parametrize(
    "template", ["p {{ w }}", "p {{ v.nothing }}", "p {{ 'x' if false }}", "p {% for x in w %}{% endfor %}", "p {{ w ~ v }}"]
)
def test_an_unknown_variable_is_refused(write: Any, template: str) -> None:
    """A variable that nobody gave, or an expression without a value, never becomes an empty argument."""
    with pytest.raises(TemplateError, match=r"t/t\.j2 cannot be rendered: "):
        write(template).argv("t/t", v="v")


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_no_argument_can_hold_is_refused(write: Any, value: str) -> None:
    """A NUL and a lone surrogate are refused with the name of the template."""
    with pytest.raises(TemplateError, match=r"t/t\.j2 cannot be rendered"):
        write("p {{ v }}").argv("t/t", v=value)


def test_bytes_that_are_no_text_are_kept(write: Any) -> None:
    """What came as bytes that are no UTF-8 stays what it is (PEP 383), also as a part of a word."""
    assert write("p --value={{ v }}").argv("t/t", v="a\udcff\udc80") == ("p", "--value=a\udcff\udc80")


@pytest.mark.parametrize("filter_name", _UNSAFE_FILTERS)
def test_filters_that_vouch_for_text_are_gone(write: Any, filter_name: str) -> None:
    """A template that uses one does not compile, for commands and for documents."""
    renderer = write(f"p {{{{ v | {filter_name} }}}}")
    write(f"<a>{{{{ v | {filter_name} }}}}</a>", "t/d.xml.j2")
    with pytest.raises(TemplateError, match=filter_name):
        renderer.argv("t/t", v="x")
    with pytest.raises(TemplateError, match=filter_name):
        renderer.xml("t/d", v="x")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("p 'open", "cannot be split into words: No closing quotation"),
        ('p "{{ v }}', "cannot be split into words"),
        ("p {{ v", "cannot be rendered"),
        ("p {% if v %}", "cannot be rendered"),
        ("", "renders to no command"),
        ("{# nothing #}\n", "renders to no command"),
        ("p {{ 1 // 0 }}", "cannot be rendered: "),
        ("p {{ v() }}", "cannot be rendered: "),
        ("p {{ m }} {% include 't/absent.j2' %}", "t/absent.j2 was not found in "),
    ],
)
def test_a_broken_template_is_named(write: Any, template: str, message: str) -> None:
    """Each kind of broken template ends in one sentence that names the file, and no traceback."""
    with pytest.raises(TemplateError, match=message) as caught:
        write(template).argv("t/t", v="x", m="y")
    assert isinstance(caught.value, VmMgrError)
    assert "t/" in str(caught.value)


def test_a_missing_template_is_named_with_where_it_was_sought(tmp_path: Path) -> None:
    """The message names the file and every folder that was searched."""
    with pytest.raises(TemplateError, match=rf"nothing/here\.j2 was not found in {tmp_path}, .*templates"):
        Renderer((tmp_path,)).argv("nothing/here")


def test_no_template_is_read_from_outside_its_folders(write: Any) -> None:
    """A name with .. finds nothing."""
    with pytest.raises(TemplateError, match="was not found"):
        write("p", "secret.j2").argv("t/../../secret")


def test_the_site_comes_before_the_package(write: Any) -> None:
    """A template of the site replaces the packaged one of its name, and no other."""
    renderer = write("my-cibadmin --query", "pacemaker/cib.j2")
    assert renderer.argv("pacemaker/cib") == ("my-cibadmin", "--query")
    assert renderer.argv("pacemaker/lease_take")[0] == "cibadmin"


def test_shell_syntax_in_a_template_is_text(write: Any) -> None:
    """Pipes, redirections and expansions are plain arguments; nobody expands them."""
    argv = write("p | grep x > f && $HOME $(id) *").argv("t/t")
    assert argv == ("p", "|", "grep", "x", ">", "f", "&&", "$HOME", "$(id)", "*")


LEGAL = tuple(value for value in HOSTILE if not set(value) & set("\x1b\x01\ufffe\uffff"))
ILLEGAL = ("\0", "\x01", "\x08", "\x0b", "\x1b[2J", "\x1f", "\ufffe", "\uffff", "\ud800", "\udfff")


def test_documents_keep_every_legal_value(write: Any) -> None:
    """In an attribute of either quote, in text and through a macro, a value is read back as it was; so are line breaks."""
    body = (
        '{% macro m(x) %}{{ x }}{% endmacro %}<a b="{{ v }}" c=\'{{ v }}\' d="{{ m(v) }}"><e>{{ v }}</e><f>{{ m(v) }}</f></a>'
    )
    renderer = write(body, "t/d.xml.j2")
    for value in LEGAL:
        root = ET.fromstring(renderer.xml("t/d", v=value))
        assert [root.get(name) for name in "bcd"] == [value] * 3
        assert [root.findtext(name) for name in "ef"] == [value] * 2
        assert len(list(root.iter())) == 3


@pytest.mark.parametrize("value", ILLEGAL)
def test_documents_refuse_what_xml_cannot_hold(write: Any, value: str) -> None:
    """A character outside XML 1.0 is refused by its number, wherever in the value it is."""
    with pytest.raises(TemplateError, match=rf"d\.xml\.j2.*U\+{ord(value[0]):04X}"):
        write("<a>{{ v }}</a>", "t/d.xml.j2").xml("t/d", v=value)
    with pytest.raises(TemplateError, match=r"U\+"):
        write("<a>{{ v }}</a>", "t/d.xml.j2").xml("t/d", v=f"fine {value} fine")


@pytest.mark.parametrize("value", [None, True, ["a"], b"x"])
def test_documents_refuse_what_is_no_text(write: Any, value: object) -> None:
    """Neither None nor a truth value is written out as a word."""
    with pytest.raises(TemplateError, match=type(value).__name__):
        write("<a b='{{ v }}'/>", "t/d.xml.j2").xml("t/d", v=value)


@pytest.mark.parametrize("template", ["<a>", "<a b={{ v }}/>", "<a/><b/>", "{{ v }}", ""])
def test_a_document_that_is_no_xml_is_refused(write: Any, template: str) -> None:
    """A template whose result is not one well-formed document is named."""
    with pytest.raises(TemplateError, match=r"Template t/d\.xml\.j2 does not give well-formed XML"):
        write(template, "t/d.xml.j2").xml("t/d", v="x")

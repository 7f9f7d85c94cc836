"""Templates become argument lists or XML documents; a value can never become anything but a value.

A command template is written like a shell line, but no shell ever reads it. Each ``{{ value }}`` is replaced by an opaque
token, the rendered text is split into words, and only then do the tokens turn back into their values. So a value is exactly
one argument (or the marked part of one, as in ``--pool={{ pool }}``) whatever it contains, and shell syntax in a template is
just text. Steps that need a pipeline are a constant script that takes its values as parameters: ``sh -c '…' sh {{ value }}``.
"""

from __future__ import annotations

import re
import secrets
import shlex
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jinja2 import Environment

# Filters whose result would pass for text that needs no treatment.
_UNSAFE_FILTERS = ("e", "escape", "safe", "forceescape", "tojson", "urlize", "xmlattr", "striptags")
# The characters that XML 1.0 does not allow: all but its production 2, Char. To compile the list of those that it allows takes
# Python ten times as long, at every start.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class TemplateError(VmMgrError):
    """A template cannot be rendered: unknown variable, unusable value, unbalanced quote, missing file."""


class Renderer:
    """Renders the templates of one site: its own folder first, the packaged ones after it."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Remember where templates are; ``folders`` come before the packaged ones and each holds ``DRIVER/NAME.j2``."""
        self._folders = (*folders, Path(__file__).with_name("templates"))
        self._nonce = secrets.token_hex(8)
        self._token = re.compile(f"\ufdd0{self._nonce}([0-9a-f]+)\ufdd1")
        # each value once; none is forgotten, for Jinja2 compiles the tokens of constants into a template
        self._values: dict[str, int] = {}
        self._texts: list[str] = []

    def argv(self, template: str, **values: Any) -> tuple[str, ...]:
        """Render the command template ``DRIVER/NAME`` to an argument list.

        Raises:
            TemplateError: The template or one of its values is unusable; the message names the template.
        """
        text = self._render(self._commands, f"{template}.j2", values)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise TemplateError(f"Template {template}.j2 cannot be split into words: {error}.") from error
        if not words:
            raise TemplateError(f"Template {template}.j2 renders to no command.")
        return tuple(self._decode(word) for word in words)

    def xml(self, template: str, **values: Any) -> str:
        """Render the document template ``DRIVER/NAME`` (``*.xml.j2``) and make sure that it is well-formed.

        Raises:
            TemplateError: As for ``argv``, or the result is not XML.
        """
        text = self._render(self._documents, f"{template}.xml.j2", values)
        try:
            ET.fromstring(text)  # noqa: S314 - our own rendering, with every value escaped
        except ET.ParseError as error:
            raise TemplateError(f"Template {template}.xml.j2 does not give well-formed XML: {error}.") from error
        return text

    def check(self, template: str) -> None:
        """Make sure that a template, ``DRIVER/NAME`` or ``DRIVER/NAME.xml``, is there and can be read.

        Raises:
            TemplateError: It is not.
        """
        environment = self._documents if template.endswith(".xml") else self._commands
        with self._named(f"{template}.j2"):
            environment.get_template(f"{template}.j2")

    def _render(self, environment: Environment, file: str, values: Mapping[str, Any]) -> str:
        with self._named(file):
            return environment.get_template(file).render(values)

    @contextmanager
    def _named(self, file: str) -> Iterator[None]:
        """Turn whatever is wrong with a template into an error that names it."""
        from jinja2 import TemplateNotFound

        try:
            yield
        except TemplateNotFound as error:
            searched = ", ".join(str(folder) for folder in self._folders)
            raise TemplateError(f"Template {error.name} was not found in {searched}.") from error
        except Exception as error:  # a site's own template may do anything, and a value of it may refuse
            raise TemplateError(f"Template {file} cannot be rendered: {error}.") from error

    @cached_property
    def _commands(self) -> Environment:
        environment = self._environment(autoescape=False)
        environment.finalize = self._encode
        return environment

    @cached_property
    def _documents(self) -> Environment:
        environment = self._environment(autoescape=True)
        environment.finalize = _xml_value
        return environment

    def _environment(self, *, autoescape: bool) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader([str(folder) for folder in self._folders]),
            autoescape=autoescape,  # noqa: S701 - tokens do the work for commands
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        for name in _UNSAFE_FILTERS:
            del environment.filters[name]
        return environment

    def _encode(self, value: object) -> str:
        text = _plain(value)
        if "\0" in text:
            raise ValueError("a value contains a NUL character, which no program argument can hold")
        text.encode(errors="surrogateescape")  # bytes that are no UTF-8 come as surrogates (PEP 383); no others can be sent
        index = self._values.setdefault(text, len(self._texts))
        if index == len(self._texts):
            self._texts.append(text)
        return f"\ufdd0{self._nonce}{index:x}\ufdd1"

    def _decode(self, word: str) -> str:
        # A block or macro passes through finalize once more, so tokens can contain tokens.
        while True:
            decoded = self._token.sub(lambda match: self._texts[int(match[1], 16)], word)
            if decoded == word:
                return word
            word = decoded


def _plain(value: object) -> str:
    """Return the text of a str, int or float; anything else is a mistake in a template or in its caller."""
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        raise ValueError(f"{value._undefined_name} is undefined")  # noqa: SLF001 - the only way to its name
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"a value of type {type(value).__name__} cannot stand in a command or document")
    return str(value)


def _xml_value(value: object) -> object:
    """Escape for XML text and attributes alike, and keep the line breaks that attributes would lose."""
    from markupsafe import Markup, escape

    if isinstance(value, Markup):
        return value
    text = _plain(value)
    if found := _NOT_XML.search(text):
        raise ValueError(f"the character U+{ord(found[0]):04X} cannot stand in an XML document")
    return Markup(  # noqa: S704 - escaped in this very line
        str(escape(text)).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    )

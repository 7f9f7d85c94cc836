"""A Jinja environment for the values of an inventory: strings in, values out, and nothing else can happen.

An expression cannot reach Python's internals (Jinja's sandbox), and it can hardly run for long or grow large: there are no
loops and assignments, a few harmless filters only, and limits where a short text could ask for a huge result. Ansible's own
filters and lookups do not exist here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Template

# characters of an expression and of its result; real ones have some tens
MAX_TEXT = 10_000
_STATEMENTS = (nodes.If, nodes.Output)
# fmt: off
_FILTERS = [
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last", "length",
    "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr",
    "sort", "string", "sum", "title", "trim", "unique", "upper",
]
# fmt: on
# methods of str that pad to any width
_PADDING = frozenset(["center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"])


class _Context(Context):
    """Looks names up in a host's variables, each one evaluated only when an expression uses it."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        scope = self.parent["vars"]
        return scope[key] if key in scope else super().resolve_or_missing(key)


class _Environment(SandboxedEnvironment):
    code_generator_class = NativeCodeGenerator
    context_class = _Context
    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            _refuse_wide(left)
        elif operator == "**" or (operator == "*" and not _small_product(left, right)):
            raise SecurityError(f"the operator {operator} is not allowed with these values")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:
        return super().is_safe_callable(obj) and getattr(obj, "__name__", "") not in _PADDING


def _small_product(left: Any, right: Any) -> bool:
    return all(isinstance(value, (int, float)) and abs(value) <= 1_000_000 for value in (left, right))


def _refuse_wide(template: str) -> None:
    if re.search(r"\d{4}|\*", template):
        raise SecurityError("a field this wide is not allowed")


def _make_environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    plain_format: Callable[..., str] = environment.filters["format"]

    def bounded_format(value: str, *args: Any, **kwargs: Any) -> str:
        _refuse_wide(value)
        return plain_format(value, *args, **kwargs)

    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.filters["format"] = bounded_format
    return environment


_ENVIRONMENT = _make_environment()


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    if len(text) > MAX_TEXT:
        raise SecurityError(f"it has more than {MAX_TEXT} characters")
    tree = _ENVIRONMENT.parse(text)
    for node in tree.find_all(nodes.Stmt):
        if not isinstance(node, _STATEMENTS):
            raise SecurityError(f"the statement {type(node).__name__.lower()} is not supported")
    return _ENVIRONMENT.from_string(tree)


def render(text: str, scope: Mapping[str, object]) -> object:
    """Return the value of a text with expressions: of any type if the text is a single expression, else a str.

    Args:
        text: as in the inventory.
        scope: the variables; those that the expressions use are read, no others.

    Raises:
        Exception: whatever an expression can cause: jinja2's errors, TypeError, ZeroDivisionError, errors of ``scope``.
    """
    template = _compiled(text)
    parts: list[Any] = list(template.root_render_func(template.new_context({"vars": scope})))
    for part in parts:
        if isinstance(part, Undefined):
            str(part)
    value = parts[0] if len(parts) == 1 else "".join(str(part) for part in parts)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise SecurityError(f"its value has more than {MAX_TEXT} characters")
    return value

"""Names, and what is made of them."""

from __future__ import annotations

import pytest

from vmmgr.errors import UsageError
from vmmgr.model import Node, Status, check_known_name, check_new_name, data_image, system_image
from vmmgr.text import one_line, printable

BAD_EVERYWHERE = (
    "", " ", "a b", "-a", "a\n", "\na", "a\0", "a/b", "../a", "a'b", 'a"b', "a;b", "$(id)", "`id`", "a*", "[a]", "größe", "a\u202eb", "A" * 256,
    "{a}", "a=b", "a,b", "a#b", "~a", "!a", "\udc80",
)  # fmt: skip


@pytest.mark.parametrize("name", ["a", "A", "_", "vm1", "my-vm_2", "a" * 63, "Z" + "-" * 62])
def test_good_names(name: str) -> None:
    """A name for a new VM is returned as it is, and is one that an existing VM can have."""
    assert check_new_name(name) == name
    assert check_known_name(name) == name


@pytest.mark.parametrize("name", [*BAD_EVERYWHERE, "1vm", "a.b", "a:b", "a+b", "a@b", "a" * 64])
def test_names_that_no_new_vm_can_have(name: str) -> None:
    """The message names the value, shown so that it cannot steer a terminal, and the rule."""
    with pytest.raises(UsageError) as caught:
        check_new_name(name)
    assert str(caught.value).startswith(repr(name))
    assert "letters, digits, '-' and '_'" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["1vm", "a.b", "a:b", "a+b", "a@b", "a" * 255])
def test_names_that_others_may_have_given(name: str) -> None:
    """What other tools name a VM is still managed."""
    assert check_known_name(name) == name


@pytest.mark.parametrize("name", BAD_EVERYWHERE)
def test_names_that_no_vm_has(name: str) -> None:
    """What could break out of a path, an XPath or an option is never taken for an existing VM."""
    with pytest.raises(UsageError, match="cannot be the name of a VM; `vm-mgr list` shows") as caught:
        check_known_name(name)
    assert str(caught.value).startswith(repr(name))


def test_images_are_named_as_vm_manager_names_them() -> None:
    """The system image and the further ones, counted from 0."""
    assert (system_image("vm1"), data_image("vm1", 0), data_image("vm1", 12)) == ("system_vm1", "data_vm1_0", "data_vm1_12")


def test_a_status_is_its_word() -> None:
    """Statuses print as their words, all of them different."""
    assert [str(status) for status in Status] == [
        "Undefined",
        "Disabled",
        "Failed",
        "Started",
        "Starting",
        "Stopping",
        "Stopped",
    ]


@pytest.mark.parametrize("flag", ["online", "standby", "maintenance", "kind"])
def test_one_reason_makes_a_node_unusable(flag: str) -> None:
    """Offline, standby, maintenance and being no full member each count alone."""
    good = {"name": "n", "kind": "member", "online": True, "standby": False, "maintenance": False}
    assert Node(**good).usable  # type: ignore[arg-type]
    bad = good | {flag: "remote" if flag == "kind" else not good[flag]}
    assert not Node(**bad).usable  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain größe 日本 \U0001f600", None), ("two\nlines\n", None), ("", None), ("back\\slash", None),
        ("\x1b[2J", "\\x1b[2J"), ("\x9b2J", "\\x9b2J"), ("a\rb", "a\\rb"), ("a\tb", "a\\tb"), ("\x07\x08\x7f", "\\x07\\x08\\x7f"),
        ("\0", "\\x00"), ("a\u202eb", "a\\u202eb"), ("a\u2028b", "a\\u2028b"), ("\udc80", "\\udc80"), ("\ufeff", "\\ufeff"),
        ("\U000e0041", "\\U000e0041"), ("\x1b]0;title\x07", "\\x1b]0;title\\x07"), ("\xad", "\\xad"),
    ],
)  # fmt: skip
def test_what_steers_a_terminal_is_shown_instead(text: str, shown: str | None) -> None:
    """Only what can be seen, and line breaks, reach the terminal; everything else is shown as an escape."""
    assert printable(text) == (text if shown is None else shown)
    printable(text).encode()


def test_a_cell_has_one_line() -> None:
    """A line break in a cell would make a row of its own."""
    assert one_line("a\nb\r\n\x1b") == "a\\nb\\r\\n\\x1b"

"""What Ceph 16.2.15 answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.rbd import Rbd

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.rendering import Renderer

MISSING = b"rbd: error opening image nope: (2) No such file or directory\n"


@pytest.fixture
def rbd(renderer: Renderer) -> Rbd:
    """A driver for the pool ``rbd``."""
    return Rbd(renderer, "rbd")


def test_names_of_groups_and_images(rbd: Rbd, recorded: Any, answer: Any) -> None:
    """Names are read from the lists; an empty list is an empty set."""
    assert rbd.groups().parse(recorded("ceph-16.2.15/groups.json")) == {"rec1", "rec2"}
    assert rbd.images().parse(recorded("ceph-16.2.15/images.json")) == {"system_rec1", "system_rec2"}
    assert rbd.images().parse(answer("[]\n")) == frozenset()


def test_metadata_keeps_every_character(rbd: Rbd, recorded: Any, answer: Any) -> None:
    """Line breaks, quotes and letters beyond ASCII survive; where there is no metadata, rbd prints nothing at all."""
    metadata = rbd.metadata("system_rec1").parse(recorded("ceph-16.2.15/metadata.json"))
    assert metadata["note"] == 'a=b "quoted" <ü>'
    assert metadata["vm_name"] == "rec1"
    assert metadata["_base_xml"].startswith("<domain type='qemu'>\n  <name>rec1</name>\n")
    assert rbd.metadata("x").parse(answer(b"")) == {}


def test_an_absent_image_has_no_metadata(rbd: Rbd, answer: Any) -> None:
    """It can be asked for in the same exec that tells whether the image is there."""
    assert rbd.metadata("nope").parse(answer(b"", 2, MISSING)) == {}


def test_metadata_of_any_bytes(rbd: Rbd, recorded: Any) -> None:
    """Values with control characters and with bytes that are no UTF-8, and keys that Ceph does not escape, are what they were."""
    assert rbd.metadata("x").parse(recorded("ceph-16.2.15/metadata-bytes.json")) == {
        "bad": "a\udcff\udcfeb", "ctl": "\x01\x02\x1b[2J\x7f\t\r.", "dash": "-", "k\nnl": "v", 'k"q': "v", "k\\b": "v", "k\udcff": "v",
        "neg": "-rf", "nl": "a\nb\n\nx", "quote": "he said \"x\" \\ / <&>'", "sep": "a\u0085b\u2028c", "uni": "größe 漢字 🙂",
    }  # fmt: skip


def test_a13_25_monitors_have_one_address_each(rbd: Rbd, recorded: Any, answer: Any) -> None:
    """The older protocol where there is one, the only one otherwise; IPv6 without its brackets."""
    monitors = (("192.0.2.11", 6789), ("192.0.2.12", 6789), ("192.0.2.13", 6789))
    assert rbd.monitors().parse(recorded("ceph-16.2.15/monitors.json")) == monitors
    newer = '{"mons": [{"public_addrs": {"addrvec": [{"type": "v2", "addr": "[2001:db8::1]:3300", "nonce": 0}]}}]}'
    assert rbd.monitors().parse(answer(newer)) == (("2001:db8::1", 3300),)


def test_the_store_tells_nothing_from_failure(rbd: Rbd, answer: Any) -> None:
    """Exit code 2 means that nothing was put aside, any other that it is not known; what was put aside is not altered."""
    assert rbd.store_get("a").parse(answer(b"", 2)) == ""
    assert rbd.store_get("a").parse(answer("<a>ü</a>\r\n")) == "<a>ü</a>\r\n"
    for failure in (answer(b"", 1, b"error connecting"), answer(b"", 124), answer(b"<a>\xff</a>")):
        with pytest.raises(CommandFailedError):
            rbd.store_get("a").parse(failure)


def test_the_hash_of_a_stream(rbd: Rbd, answer: Any) -> None:
    """The hash comes without its line break; a failed import has none."""
    assert rbd.import_image("a", "none").parse(answer(b"abc123\n")) == "abc123"
    with pytest.raises(CommandFailedError, match="exit code 1"):
        rbd.import_image("a", "none").parse(answer(b"abc123\n", 1))


def reading(rbd: Rbd) -> dict[str, Command[Any]]:
    """Return each command that reads JSON."""
    return {
        "groups": rbd.groups(), "images": rbd.images(), "monitors": rbd.monitors(),
        "metadata": rbd.metadata("i"),
    }  # fmt: skip


GARBAGE = (
    b"null", b"3", b"[3]", b"[null]", b"[[]]", b'"text"', b"tru", b"nonsense", b"{", b"[", b'[{"', b"[1,", b"\xff\xfe", b'["\xff"]', b"[" * 100_000, b'"\xed\xa0\x80"',
    b'{"mons": []}', b'{"mons": [{"public_addrs": {"addrvec": []}}]}', b'{"mons": [{"public_addrs": {"addrvec": [{"type": "v1", "addr": "x"}]}}]}',
)  # fmt: skip


@pytest.mark.parametrize("name", ["groups", "images", "monitors", "metadata"])
def test_garbage_is_never_an_empty_answer(rbd: Rbd, answer: Any, name: str) -> None:
    """Whatever is no answer to the question is a failure that names host and command, and never "there is none"."""
    foreign = {"monitors": (b"", b"[]", b"{}"), "metadata": (b"[]",)}.get(name, (b"", b"{}"))
    for stdout in (*GARBAGE, *foreign):
        if name == "metadata" and stdout.startswith(b'{"mons"'):
            continue  # as good as any other object
        with pytest.raises(CommandFailedError, match="On hv1, `tool read` gave an answer that cannot be understood"):
            reading(rbd)[name].parse(answer(stdout))


@pytest.mark.parametrize("name", ["groups", "images", "monitors", "metadata"])
def test_an_answer_cut_off_is_refused(rbd: Rbd, recorded: Any, answer: Any, name: str) -> None:
    """No part of a recorded answer is taken for the whole."""
    whole = recorded(f"ceph-16.2.15/{name}.json").stdout.strip()
    for length in range(1, len(whole), 7):
        with pytest.raises(CommandFailedError):
            reading(rbd)[name].parse(answer(whole[:length]))


@pytest.mark.parametrize("name", ["groups", "images", "monitors", "metadata"])
def test_a_timeout_is_told_as_one(rbd: Rbd, answer: Any, name: str) -> None:
    """Ceph that does not answer is an error, never an empty answer."""
    for code in (124, 137):
        with pytest.raises(CommandFailedError, match="On hv1, `tool read` took longer than it may and was ended"):
            reading(rbd)[name].parse(answer(b"[]", code))

"""The shell program of a batch, run by real shells."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmmgr.errors import UsageError
from vmmgr.remote.batch import Decoded, Line, decode, encode

NONCE = "0123456789abcdef0123456789abcdef"
ECHO = (sys.executable, "-c", r"import os,sys; os.write(1, b'\0'.join(map(os.fsencode, sys.argv[1:])))")
# every byte that continues a character in UTF-8; dash uses 0x81 to 0x88 for itself
CONTINUATIONS = "".join(chr(0x3000 + code) + chr(0xC0 + code) for code in range(64))


class Shell:
    """A program that stands at /bin/sh of some hosts."""

    def __init__(self, program: str) -> None:
        self.program = program

    def feed(self, program: bytes) -> subprocess.CompletedProcess[bytes]:
        """Run it as ``sh``, with a program as its standard input."""
        return subprocess.run(["sh"], executable=self.program, input=program, capture_output=True, check=False, timeout=20)

    def run(self, *lines: Line, stop_on_failure: bool = False, together: bool = False) -> Decoded:
        """Run a batch."""
        done = self.feed(encode(lines, stop_on_failure=stop_on_failure, together=together, nonce=NONCE))
        return decode(done.stdout, done.stderr, NONCE)


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Give each shell in turn."""
    program = shutil.which(request.param)
    if not program:
        pytest.skip(f"{request.param} is not installed")
    return Shell(program)


@pytest.mark.parametrize(
    "word",
    [
        "", " ", "'", '"', "\\", "$(touch x)", "`touch x`", "${HOME}", "a\nb", "\n", "*", "~", "-rf", "--", "#", "!!", "%s",
        "é", "日本語", CONTINUATIONS, "\u202egnp", "\x01\x7f\x1b[2J", "x" * 100_000,
        "".join(os.fsdecode(bytes([byte])) for byte in range(0x80, 0x100)),
    ],
    ids=lambda word: ascii(word[:8]),
)  # fmt: skip
def test_arguments_arrive_exactly(shell: Shell, word: str) -> None:
    """Whatever an argument contains, the command gets it unchanged, and in its own place."""
    decoded = shell.run(Line((*ECHO, "before", word, "after")))
    assert decoded.frames[0].stdout == b"before\0" + os.fsencode(word) + b"\0after"
    assert decoded.complete


@pytest.mark.parametrize(
    "document",
    [
        "", "\n", "no newline at the end", "one\n", "two\n\n", "EOF\n", "'EOF'\nEOF", "-n", "-e \\n", "%s%d\\n", "\\c after",
        "a\r\nb\r\n", CONTINUATIONS, f"\n{NONCE} 0 0\n", "<a b='c' d=\"e\">$(x) `y` \\</a>", "é\n" * 349_526,
    ],
    ids=lambda document: ascii(document[:8]),
)  # fmt: skip
def test_documents_arrive_exactly(shell: Shell, document: str) -> None:
    """A document comes to the command's input to the last byte, with a last newline only if it has one."""
    received = shell.run(Line(("sha256sum",), stdin=document)).frames[0].stdout.decode()
    assert received.split()[0] == hashlib.sha256(document.encode()).hexdigest()


def test_output_is_cut_at_the_right_bytes(shell: Shell) -> None:
    """Newlines at the ends of an output belong to it; the two streams of each command stay apart."""
    both = "printf '\\n out \\n\\n'; printf 'err' >&2; exit 7"
    decoded = shell.run(Line(("sh", "-c", both)), Line(("printf", "next")), Line(("true",)))
    assert [(f.exit_code, f.stdout, f.stderr) for f in decoded.frames] == [
        (7, b"\n out \n\n", b"err"),
        (0, b"next", b""),
        (0, b"", b""),
    ]


def test_commands_cannot_take_the_program_as_input(shell: Shell) -> None:
    """A command that reads its input gets the end of file, and the next command still runs."""
    lines = [Line(("cat",)), Line(("sh", "-c", "read x; echo got:$x")), Line(("echo", "last"))]
    done = shell.feed(encode(lines, stop_on_failure=False, nonce=NONCE) + b"echo what comes after the program\n")
    decoded = decode(done.stdout, done.stderr, NONCE)
    assert [frame.stdout for frame in decoded.frames] == [b"", b"got:\n", b"last\n"]


def test_an_unread_document_harms_nobody(shell: Shell) -> None:
    """A command may leave its document unread: its own exit code counts, nothing is written about it."""
    decoded = shell.run(Line(("true",), stdin="x" * 200_000), Line(("false",), stdin="x" * 200_000))
    assert [(f.exit_code, f.stderr) for f in decoded.frames] == [(0, b""), (1, b"")]


def test_a_truncated_program_runs_nothing(shell: Shell, tmp_path: Path) -> None:
    """Wherever the connection breaks while the program is sent, not even its first command is run."""
    trace = tmp_path / "ran"
    lines = [Line(("touch", str(trace))), Line(("tee", str(trace)), stdin="some\ndocument"), Line(("touch", str(trace)))]
    program = encode(lines, stop_on_failure=True, nonce=NONCE)
    for length in range(0, len(program) - 1, 11):
        shell.feed(program[:length])
        assert not trace.exists(), program[:length]
    shell.feed(program)
    assert trace.exists()


def test_stop_on_failure_skips_the_rest(shell: Shell, tmp_path: Path) -> None:
    """After a failure nothing more is run if so asked, and the program still ends properly."""
    after = tmp_path / "after"
    lines = (Line(("true",)), Line(("sh", "-c", "exit 3"), stdin="x"), Line(("touch", str(after))))
    decoded = shell.run(*lines, stop_on_failure=True)
    assert [frame.exit_code for frame in decoded.frames] == [0, 3]
    assert decoded.complete
    assert not after.exists()
    assert [frame.exit_code for frame in shell.run(*lines).frames] == [0, 3, 0]


def test_together_gives_the_same_as_one_after_the_other(shell: Shell) -> None:
    """Commands that run at the same time have their own outputs, exit codes and inputs, told in their order."""
    both = "printf '\\n out \\n\\n'; printf 'err' >&2; exit 7"
    lines = (
        Line(("sh", "-c", both)), Line(("cat",)), Line(("cat",), stdin=f"a\n{CONTINUATIONS}\n\n"), Line(("no-such-command",)),
        Line(("head", "-c", "300000", "/dev/zero")), Line(("sleep", "30"), timeout=0.1), Line((*ECHO, "a b", "$x")),
        Line(("true",), stdin="x" * 200_000), Line(("sh", "-c", "kill -9 $$")),
    )  # fmt: skip
    one, other = shell.run(*lines), shell.run(*lines, together=True)
    assert [(f.exit_code, f.stdout) for f in one.frames] == [(f.exit_code, f.stdout) for f in other.frames]
    assert [frame.exit_code for frame in other.frames] == [7, 0, 0, 127, 0, 124, 0, 0, 137]
    assert (other.frames[0].stderr, other.complete) == (b"err", True)


def test_together_means_at_the_same_time(shell: Shell, tmp_path: Path) -> None:
    """The first command waits for what the last one makes; the folder of their outputs is private, and gone afterwards."""
    made = tmp_path / "made"
    wait = f"until [ -e {made} ]; do sleep 0.05; done; file=$(readlink /proc/$$/fd/1); stat -c %a ${{file%/*}}; echo $file"
    decoded = shell.run(Line(("sh", "-c", wait), timeout=10), Line(("touch", str(made))), together=True)
    mode, file = decoded.frames[0].stdout.decode().split()
    assert mode == "700"
    assert file.startswith("/dev/shm/vm-mgr.")
    assert not Path(file).parent.exists()


def test_together_after_what_waits(shell: Shell, tmp_path: Path) -> None:
    """What waits has ended before the others begin, and its exit code is told like theirs."""
    made = tmp_path / "made"
    first = Line(("sh", "-c", f"sleep 0.3; touch {made}; echo news; exit 5"), waits=True)
    decoded = shell.run(first, Line(("test", "-e", str(made))), Line((*ECHO, "two")), together=True)
    assert [frame.exit_code for frame in decoded.frames] == [5, 0, 0]
    assert [frame.stdout for frame in decoded.frames] == [b"news\n", b"", b"two"]


def test_together_without_a_place_for_files(tmp_path: Path) -> None:
    """Where no folder can be made, every command has failed, and nothing is written anywhere."""
    tool = tmp_path / "mktemp"
    tool.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    tool.chmod(0o755)
    program = encode((Line(("touch", str(tmp_path / "ran"))), Line(("true",))), together=True, nonce=NONCE)
    done = Shell("sh").feed(program.replace(b"PATH=", f"PATH={tmp_path}:".encode(), 1))
    decoded = decode(done.stdout, done.stderr, NONCE)
    assert [frame.exit_code for frame in decoded.frames] == [73, 73]
    assert decoded.complete
    assert b"no space left" in decoded.frames[0].stderr
    assert not (tmp_path / "ran").exists()


def test_time_limit_ends_the_command(shell: Shell) -> None:
    """A command that takes too long ends with 124, and the next one runs; no limit is ever turned off by rounding to 0."""
    decoded = shell.run(Line(("sleep", "30"), timeout=0.1), Line(("sleep", "30"), timeout=0.00001), Line(("echo", "on")))
    assert [frame.exit_code for frame in decoded.frames] == [124, 124, 0]


def test_missing_command(shell: Shell) -> None:
    """A command that does not exist ends with 127, as in any shell."""
    assert shell.run(Line(("no-such-command",))).frames[0].exit_code == 127


def test_commands_run_in_a_known_environment(shell: Shell) -> None:
    """Messages are in English, files are private, sbin is in the path, and the nonce is nowhere to be found."""
    decoded = shell.run(Line(("env",)), Line(("sh", "-c", "umask; tr '\\0' ' ' </proc/$PPID/cmdline")))
    environment = decoded.frames[0].stdout.decode()
    assert "LC_ALL=C\n" in environment
    assert "/usr/sbin" in environment
    assert decoded.frames[1].stdout.startswith(b"0077\n")
    assert NONCE.encode() not in decoded.frames[0].stdout + decoded.frames[1].stdout


def test_banner_is_dropped() -> None:
    """What a login's start-up files print before the program is no output of the first command."""
    out = f"Welcome!\n\n{NONCE} begin 0\nhello\n{NONCE} 0 0\n\n{NONCE} end 0\n".encode()
    err = f"\n{NONCE} begin 0\n\n{NONCE} 0 0\n\n{NONCE} end 0\n".encode()
    assert decode(out, err, NONCE).frames[0].stdout == b"hello"


def test_a_command_counts_when_both_streams_have_its_end() -> None:
    """An answer of which only one stream has arrived in full is no answer."""
    out = f"\n{NONCE} begin 0\nhello\n{NONCE} 0 0\n".encode()
    decoded = decode(out, f"\n{NONCE} begin 0\npart of".encode(), NONCE)
    assert (decoded.began, decoded.frames, decoded.complete) == (True, (), False)


@pytest.mark.parametrize("line", [Line(("echo", "a\0b")), Line(("cat",), stdin="a\0b")])
def test_nul_is_refused(line: Line) -> None:
    """A NUL, which would silently cut an argument, is refused by name."""
    with pytest.raises(UsageError, match="NUL"):
        encode([line], stop_on_failure=False, nonce=NONCE)


def test_shown_masks_secrets() -> None:
    """What is shown can be pasted into a shell and has no secret in it."""
    line = Line(("tool", "--password", "hunter2", "a b"), secret=frozenset({2}))
    assert line.shown == "tool --password '***' 'a b'"

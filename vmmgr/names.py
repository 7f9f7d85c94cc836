"""The names that a site was last seen to have, kept for a while for the shell's completion, which contacts nobody.

One file for each way of choosing a site, in $XDG_CACHE_HOME/vm-mgr (XDG Base Directory Specification), readable to its owner
alone. Losing it costs nothing, so whatever goes wrong with it goes without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Seconds for which names are proposed: a wrong one does no harm, for the verb refuses it.
LIFE = 3600.0
_LONGEST = 1 << 20
# What every shell takes as it stands, as one word: ':' and '@' end a word for bash's completion.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}")
_CHOOSING = ("VMMGR_SITE", "VMMGR_INVENTORY", "VMMGR_CONFIG")


class Names:
    """The names of one site, of several kinds: ``vms``, ``hypervisors``, ``machines``, and ``snapshots of VM``."""

    def __init__(self, site: str | None, inventories: Sequence[Path], config: Path | None, environ: Mapping[str, str]) -> None:
        """Find the file of a site by what chooses it; neither the configuration nor the inventory is read."""
        files = [str(Path.cwd() / path.expanduser()) for path in (*inventories, *([config] if config else ()))]
        chosen = json.dumps([site, files, *(environ.get(name) for name in _CHOOSING)])
        self._file = (
            _cache_home(environ) / "vm-mgr" / f"{hashlib.sha256(chosen.encode(errors='surrogateescape')).hexdigest()[:16]}.json"
        )

    def known(self, kind: str) -> list[str]:
        """Return the names of a kind that were seen lately and are harmless to a shell."""
        since, names = self._read().get(kind, (0, []))
        return [name for name in names if _HARMLESS.fullmatch(name)] if 0 <= time.time() - since < LIFE else []

    def keep(self, kind: str, names: Iterable[str]) -> None:
        """Keep the names of a kind in place of those before."""
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = {**self._read(), kind: (time.time(), [name for name in names if _HARMLESS.fullmatch(name)])}
            kept = {name: value for name, value in kept.items() if time.time() - value[0] < LIFE}
            fresh = self._file.with_suffix(f".{os.getpid()}")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                json.dump(kept, stream)
            fresh.replace(self._file)

    def add(self, kind: str, names: Iterable[str]) -> None:
        """Keep further names of a kind."""
        self.keep(kind, sorted({*self.known(kind), *names}))

    def _read(self) -> dict[str, tuple[float, list[str]]]:
        """Return what the file has; nothing if it is not what ``keep`` writes."""
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError), self._file.open("rb") as stream:
            found: Any = json.loads(stream.read(_LONGEST))
            return {str(kind): (float(since), [str(name) for name in names]) for kind, (since, names) in found.items()}
        return {}


def _cache_home(environ: Mapping[str, str]) -> Path:
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base
    try:
        return Path("~/.cache").expanduser()
    except RuntimeError:  # a user without a home
        return Path(os.devnull)  # nothing can be kept below it

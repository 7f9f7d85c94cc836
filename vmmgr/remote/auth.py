"""Which keys to offer, in which order: few, because hardened hosts hang up after three refused ones."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, cast

from paramiko import Agent, PasswordRequiredException, PKey
from paramiko.auth_strategy import AuthStrategy, InMemoryPrivateKey, OnDiskPrivateKey, PrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paramiko.agent import AgentKey
    from paramiko.config import SSHConfigDict

_DEFAULT_KEYS = tuple(Path(f"~/.ssh/id_{kind}") for kind in ("ed25519", "ecdsa", "rsa"))


class Keys(AuthStrategy):
    """The configured keys, by the agent where it holds them; then the rest of the agent unless IdentitiesOnly is set.

    Attributes:
        tried: the keys that were offered to the host, for the error message.
        unusable: a sentence for each key file that could not be offered.
    """

    def __init__(self, ssh_config: SSHConfigDict, user: str) -> None:
        super().__init__(ssh_config=ssh_config)  # type: ignore[arg-type]
        self._user = user
        configured = cast("list[str]", ssh_config.get("identityfile", []))
        self._files = [Path(file) for file in configured] or list(_DEFAULT_KEYS)
        self._configured = bool(configured)
        self._only = self._configured and ssh_config.get("identitiesonly", "no").lower() == "yes"
        self._agent = Agent()
        self.tried: list[str] = []
        self.unusable: list[str] = []

    def get_sources(self) -> Iterator[PrivateKey]:
        """Yield one key after the other, until the host takes one."""
        in_agent = {key.asbytes(): key for key in self._agent.get_keys()}
        if self._configured:
            yield from self._from_files(in_agent)
        if not self._only:
            for key in list(in_agent.values()):
                yield self._from_agent(key)
        if not self._configured:
            yield from self._from_files({})

    def close(self) -> None:
        """Close the connection to the agent."""
        self._agent.close()

    def _from_agent(self, key: AgentKey) -> PrivateKey:
        self.tried.append(f"{getattr(key, 'comment', '') or key.get_name()} of the agent")
        return InMemoryPrivateKey(username=self._user, pkey=key)

    def _from_files(self, in_agent: dict[bytes, AgentKey]) -> Iterator[PrivateKey]:
        """Yield the key of each file, taking those that the agent holds out of ``in_agent``."""
        for file in (file.expanduser() for file in self._files):
            blob = _public_blob(file)
            if blob in in_agent:
                yield self._from_agent(in_agent.pop(blob))
            elif (self._configured or file.exists()) and (key := self._load(file)):
                self.tried.append(str(file))
                yield OnDiskPrivateKey(username=self._user, source="ssh-config", path=file, pkey=key)

    def _load(self, file: Path) -> PKey | None:
        try:
            return PKey.from_path(file)
        except (TypeError, PasswordRequiredException):  # TypeError is what the cryptography package raises for this
            self.unusable.append(f"{file} is protected by a passphrase and not in the agent: run `ssh-add {file}`.")
        except OSError as error:
            self.unusable.append(f"{file} cannot be read: {error.strerror}.")
        except Exception as error:  # the kinds raised for a broken or unknown key have no base class in common
            self.unusable.append(f"{file} cannot be used: {error}.")
        return None


def _public_blob(file: Path) -> bytes | None:
    """Return the public key that ssh-keygen wrote beside a private one."""
    try:
        return base64.b64decode(Path(f"{file}.pub").read_text(encoding="utf-8").split()[1], validate=True)
    except (OSError, ValueError, IndexError, binascii.Error):
        return None


def listed(items: Sequence[str]) -> str:
    """Join words for a sentence."""
    return ", ".join(items) or "none"

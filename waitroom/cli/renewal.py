"""Read the settings again while everything runs: what changes, and what cannot change without a restart."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from waitroom.cli.processes import Installation
from waitroom.config import Config
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import read_secrets
from waitroom.kernel.tokens import Keys
from waitroom.supervisor import Renewed

_FIXED = ("edge.listen", "ops.listen", "redis", "backend")
"""Tables and settings that are held by something which is not replaced: a socket, Redis, the till."""


class Renewal:
    """The settings in force, and the file they came from."""

    def __init__(self, installation: Installation, configured: Callable[[Path | None], Config]) -> None:
        """Take what runs now, and what reads settings from a copy of the file."""
        self._installation = installation
        self._configured = configured
        self._number = 0

    def begin(self, installation: Installation) -> Installation:
        """Return `installation` with a copy of the settings it was made from, which its processes read."""
        self._installation = replace(installation, copy=self._copied())
        return self._installation

    def __call__(self) -> Renewed | None:
        """Return what to run with the settings as they are now, and what to call once it runs; None: nothing is new.

        Raises:
            ConfigFault: they are wrong, or change what cannot change now.
        """
        copy, now = self._copied(), self._installation
        assert now.copy is not None, "begin comes first"
        config = self._configured(copy)
        keys = read_secrets(now.environment, config.secrets.file)
        if copy.read_bytes() == now.copy.read_bytes() and _same(keys, now.keys):
            copy.unlink()
            return None
        faults = list(_fixed(now.config, config))
        if now.config.backend.config is not None and not _same(keys, now.keys):
            faults.append("secrets: cannot change without a restart, because the till holds one that is made of them")
        if faults:
            raise ConfigFault(faults)
        wanted = replace(now, config=config, keys=keys, copy=copy)
        return wanted.programs(), partial(self._take_over, wanted)

    def _take_over(self, wanted: Installation) -> None:
        self._installation = wanted

    def _copied(self) -> Path:
        self._number += 1
        copy = self._installation.counts / f"settings-{self._number}.toml"
        try:
            copy.write_bytes(self._installation.file.read_bytes())
        except OSError as fault:
            raise ConfigFault([f"{self._installation.file}: cannot be read: {fault.strerror}"]) from fault
        return copy


def _fixed(now: Config, wanted: Config) -> Iterator[str]:
    for name in _FIXED:
        table, _, setting = name.partition(".")
        before, after = getattr(now, table), getattr(wanted, table)
        if setting:
            before, after = getattr(before, setting), getattr(after, setting)
        if before != after:
            yield f"{name}: cannot change without a restart"


def _same(some: Keys, others: Keys) -> bool:
    return some.derive("renewal") == others.derive("renewal")

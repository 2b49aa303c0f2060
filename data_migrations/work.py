"""What can be run, and what is asked for."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from getpass import getuser
from typing import Any, Protocol

from django.core.management.base import OutputWrapper

from .progress import Progress
from .reporting import Door


class Work(Protocol):
    """What can be run: a command, or the body of ``run_once``."""

    in_batches: bool
    migration_name: str
    atomic: bool
    disable_audit: bool
    depends_on: Sequence[str]
    requires_schema: Sequence[tuple[str, str]]

    @property
    def command_name(self) -> str: ...
    @classmethod
    def is_reversible(cls) -> bool: ...
    def bind(self, request: RunRequest, progress: Progress) -> None: ...
    def streams(self) -> Sequence[OutputWrapper]: ...
    def source_checksum(self) -> str: ...
    def perform_migration(self, dry_run: bool = False) -> Any: ...
    def reverse_migration(self, dry_run: bool = False) -> Any: ...
    def verify(self) -> Any: ...


@dataclass(frozen=True)
class RunRequest:
    """What is asked for. ``lock_timeout`` is in seconds; ``secrets`` is what was masked in ``arguments``.

    ``window`` says what it does outside its daily window: "wait", "leave" (stop, to be started again), or "ignore" it.
    """

    using: str = "default"
    door: Door = Door.CODE
    by: str = ""
    reason: str = ""
    dry_run: bool = False
    force: bool = False
    reverse: bool = False
    window: str = "wait"
    wait: bool = True
    lock_timeout: float | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[Any, ...] = field(default=(), repr=False)
    apps: Any = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


def current_actor() -> str:
    """Who starts a run from a shell: ``DATA_MIGRATIONS_ACTOR``, else the one behind sudo, else the user."""
    for variable in ("DATA_MIGRATIONS_ACTOR", "SUDO_USER"):
        if os.environ.get(variable):
            return os.environ[variable][:150]
    try:
        return getuser()[:150]
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"

"""One adapter for each audit library: its app, its switch, and how far the switch reaches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from .. import conf
from ..exceptions import Misconfigured
from . import triggers
from .triggers import NotSwitchable

__all__ = ["Adapter", "NotSwitchable", "configured", "installed"]


@dataclass(frozen=True)
class Adapter:
    """How one library is switched off. ``switch`` takes ``using`` and raises NotSwitchable, with the reason."""

    library: str
    scope: str
    switch: Callable[[str], AbstractContextManager[Any]]
    app: str = ""
    is_own: bool = False


def _auditlog(using: str) -> AbstractContextManager[Any]:
    from auditlog.context import disable_auditlog

    return disable_auditlog()


def _field_audit(using: str) -> AbstractContextManager[Any]:
    from field_audit import disable_audit

    return disable_audit()


_without_history: ContextVar[bool] = ContextVar("data_migrations_without_history", default=False)
_history_lock = threading.Lock()


class _HistoryEnabled:
    """Stands in for ``SIMPLE_HISTORY_ENABLED``: false in the contexts that switched it off, else as it was before.

    The library reads the setting at each change and only asks whether it is true.
    """

    def __init__(self) -> None:
        self.users = 0
        self.was_set = hasattr(settings, "SIMPLE_HISTORY_ENABLED")
        self.before = getattr(settings, "SIMPLE_HISTORY_ENABLED", True)

    def put_back(self) -> None:
        """Restore the setting, unless somebody else has changed it since."""
        if getattr(settings, "SIMPLE_HISTORY_ENABLED", None) is not self:
            return
        if self.was_set:
            settings.SIMPLE_HISTORY_ENABLED = self.before
        else:
            delattr(settings, "SIMPLE_HISTORY_ENABLED")

    def __bool__(self) -> bool:
        return bool(self.before) and not _without_history.get()


@contextmanager
def _simple_history(using: str) -> Iterator[None]:
    with _history_lock:
        found = getattr(settings, "SIMPLE_HISTORY_ENABLED", True)
        enabled = found if isinstance(found, _HistoryEnabled) else _HistoryEnabled()
        settings.SIMPLE_HISTORY_ENABLED = enabled
        enabled.users += 1
    token = _without_history.set(True)
    try:
        yield
    finally:
        _without_history.reset(token)
        with _history_lock:
            enabled.users -= 1
            if enabled.users == 0:
                enabled.put_back()


_without_events: ContextVar[bool] = ContextVar("data_migrations_without_events", default=False)


class _OffInThisContext(type):
    """Makes every object an instance, in the contexts that switched easy-audit off."""

    def __instancecheck__(cls, instance: object) -> bool:
        return _without_events.get()


class _NotAudited(metaclass=_OffInThisContext):
    """An entry of easy-audit's list of models not to audit; the library asks ``isinstance`` before each event."""


@contextmanager
def _easy_audit(using: str) -> Iterator[None]:
    from easyaudit.settings import UNREGISTERED_CLASSES

    # Stays in the list, where it means nothing to other contexts: taking it out would race with their runs.
    if _NotAudited not in UNREGISTERED_CLASSES:
        UNREGISTERED_CLASSES.append(_NotAudited)
    token = _without_events.set(True)
    try:
        yield
    finally:
        _without_events.reset(token)


LIBRARIES = (
    Adapter(
        "django-auditlog",
        "No log entries for saves, deletions and many-to-many changes made by this run; threads that it starts "
        "itself still log.",
        _auditlog,
        app="auditlog",
    ),
    Adapter(
        "django-field-audit",
        "No audit events for changes made by this run; threads that it starts itself still record them, and bulk "
        "methods of its AuditingManager still want an audit_action.",
        _field_audit,
        app="field_audit",
    ),
    Adapter(
        "django-simple-history",
        "No history rows for changes made by this run, its bulk helpers included; threads that it starts itself still "
        "write history, and deleting with cascade_delete_history keeps the old history rows.",
        _simple_history,
        app="simple_history",
    ),
    Adapter(
        "django-easy-audit",
        "No CRUD events for saves, deletions and many-to-many changes made by this run; threads that it starts itself "
        "still record them, and so do login and request events.",
        _easy_audit,
        app="easyaudit",
    ),
    Adapter(
        "django-pghistory",
        "Its history triggers do not fire for what this run changes on its own database connection, bulk changes "
        "included; other triggers, such as those that protect or soft-delete rows, still do.",
        triggers.ignored,
        app="pghistory",
    ),
)


def installed() -> list[Adapter]:
    """The adapters of the libraries whose app is in INSTALLED_APPS."""
    return [adapter for adapter in LIBRARIES if apps.is_installed(adapter.app)]


def configured() -> list[Adapter]:
    """An adapter for each entry of ``DATA_MIGRATIONS["AUDIT_CONTEXT_MANAGERS"]``.

    Raises:
        Misconfigured: an entry cannot be imported.
    """
    return [_own(path) for path in conf.get("AUDIT_CONTEXT_MANAGERS")]


def _own(path: str) -> Adapter:
    try:
        manager = import_string(path)
    except ImportError as error:
        raise Misconfigured(
            f"{path!r} in DATA_MIGRATIONS['AUDIT_CONTEXT_MANAGERS'] cannot be imported: {error}. Nothing was run. "
            "Correct the path, then run again."
        ) from error

    def switch(using: str) -> AbstractContextManager[Any]:
        return manager(using=using)

    return Adapter(path, "The project's own context manager; its scope is what it makes it.", switch, is_own=True)

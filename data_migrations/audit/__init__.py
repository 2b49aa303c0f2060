"""Switching model auditing off while a run with ``disable_audit = True`` works.

Every library is optional: it takes part when its app is in INSTALLED_APPS, and is imported only then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import django

from ..exceptions import Misconfigured
from .adapters import Adapter, NotSwitchable, configured, installed

__all__ = ["AuditState", "active_adapters", "disabled"]

logger = logging.getLogger("data_migrations")


@dataclass(frozen=True)
class AuditState:
    """What became of one audit library for a run.

    ``scope`` is one sentence: how far the switch reaches, or, where ``off`` is False, why auditing stayed on.
    """

    library: str
    scope: str
    off: bool = True

    @property
    def level(self) -> str:
        """The level at which a reporter is told: "info", or "warning" where auditing stayed on."""
        return "info" if self.off else "warning"

    def __str__(self) -> str:
        return f"{self.library}: {'off' if self.off else 'still on'}. {self.scope}"


def active_adapters() -> list[Adapter]:
    """The adapters of the audit libraries in this project, then those of its own context managers.

    Raises:
        Misconfigured: an entry of ``AUDIT_CONTEXT_MANAGERS`` cannot be imported.
    """
    return [*installed(), *configured()]


@contextmanager
def disabled(using: str) -> Iterator[list[AuditState]]:
    """Switch off every audit library of this project for the block, as far as each can be.

    Enter it inside the run's transaction where there is one. A library that cannot be switched off does not stop the
    run: its state says so, with ``off`` False. An error of the block always leaves it, whatever a switch makes of it.

    Args:
        using: the database alias of the run.

    Returns:
        One state a library, empty where none is installed.

    Raises:
        Misconfigured: a context manager of one's own cannot be imported or entered; nothing was run.
    """
    stack = ExitStack()
    try:
        states = [_switch_off(adapter, using, stack) for adapter in active_adapters()]
    except BaseException:
        stack.close()
        raise
    try:
        yield states
    except BaseException as error:
        try:
            stack.__exit__(type(error), error, error.__traceback__)
        except BaseException as another:
            if another is not error:
                logger.warning("Auditing could not be switched on again in order: %s", another)
        raise
    else:
        stack.close()


def _switch_off(adapter: Adapter, using: str, stack: ExitStack) -> AuditState:
    try:
        stack.enter_context(adapter.switch(using))
    except NotSwitchable as reason:
        return AuditState(adapter.library, str(reason), off=False)
    except Exception as error:
        if adapter.is_own:
            raise Misconfigured(
                f"{adapter.library}, named in DATA_MIGRATIONS['AUDIT_CONTEXT_MANAGERS'], could not be entered: "
                f"{type(error).__name__}: {error}. Nothing was run. Correct it, then run again."
            ) from error
        return AuditState(
            adapter.library,
            f"Its switch does not work with Django {django.get_version()}: {type(error).__name__}: {error}.",
            off=False,
        )
    return AuditState(adapter.library, adapter.scope)

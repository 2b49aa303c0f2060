"""Keeping django-pghistory's triggers from firing, through django-pgtrigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.db import connections, transaction
from django.db.utils import Error


class NotSwitchable(Exception):
    """Auditing by this library stays on; the message is a sentence with the reason."""


@contextmanager
def ignored(using: str) -> Iterator[None]:
    """Ignore the triggers that write history on the connection of ``using``, and no others.

    Raises:
        NotSwitchable: the database has no such triggers, or takes no several statements at once.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        raise NotSwitchable(
            f"It works by PostgreSQL triggers, and the database {using!r} is {connection.display_name}."
        )
    if connection.settings_dict.get("OPTIONS", {}).get("server_side_binding"):
        raise NotSwitchable(
            "django-pgtrigger sets its switch in the same text as each statement, and that does not go with the "
            "database option server_side_binding."
        )

    import pgtrigger
    from pghistory.trigger import Event

    uris = [
        f"{model._meta.label}:{trigger.name}" for model, trigger in pgtrigger.registered() if isinstance(trigger, Event)
    ]
    if not uris:
        raise NotSwitchable("No model is tracked by a trigger of it.")
    with ExitStack() as stack:
        stack.enter_context(_executemany_outside(using))
        stack.enter_context(pgtrigger.ignore(*uris, databases=[using]))
        try:
            yield
        except BaseException:
            # A failed transaction answers no statement; its rollback takes the switch back as well.
            with suppress(Error):
                stack.close()
            raise


@contextmanager
def _executemany_outside(using: str) -> Iterator[None]:
    """Let ``executemany`` pass django-pgtrigger, which would mix its own parameter into the rows.

    Its switch is local to a transaction: one is opened, an ordinary statement sets the switch, and the rows follow.
    """
    connection = connections[using]

    def pass_by(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not many:
            return execute(sql, params, many, context)
        with transaction.atomic(using=using, savepoint=False):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return execute(sql, params, many, {**context, "cursor": _NamedCursor(context["cursor"])})

    with connection.execute_wrapper(pass_by):
        yield


class _NamedCursor:
    """A cursor that says it has a name: django-pgtrigger leaves statements of named cursors alone."""

    name = "executemany"

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._cursor, attribute)

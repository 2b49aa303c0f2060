"""What to do about errors whose own words do not say it."""

from __future__ import annotations

_HINTS = {
    "durable atomic block cannot be nested": (
        "The command opens transaction.atomic(durable=True) inside the transaction that we open: set atomic = False "
        "on the command (and on the Django migration, if it is run by one)."
    ),
    "pending trigger events": (
        "PostgreSQL does not alter a table whose rows the same transaction changed: put schema and data into two "
        "migrations."
    ),
    "database is locked": (
        "Another process holds SQLite's only write lock: raise OPTIONS['timeout'] of the database, and set its "
        "transaction_mode to IMMEDIATE."
    ),
    "current transaction is aborted": (
        "An earlier statement failed and its error was swallowed: put what may fail into transaction.atomic()."
    ),
    "until the end of the 'atomic' block": (
        "An earlier statement failed and its error was swallowed: put what may fail into transaction.atomic()."
    ),
}


def for_error(error: BaseException) -> str:
    """A sentence that helps with this error, or an empty text."""
    text = str(error)
    return next((hint for words, hint in _HINTS.items() if words in text), "")

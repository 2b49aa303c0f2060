"""Rows on which a batch failed, set aside so that the others can go on."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from . import databases, ledger
from .models import NAME_LENGTH, QuarantinedRow
from .reporting import FEW_KEYS, SetAside
from .words import row_key


def put(name: str, using: str, key: Any, error: BaseException, *, model: str = "") -> None:
    """Set one row aside, in the current transaction; ``model``: the label of the one whose primary key it is."""
    rows = QuarantinedRow.objects.using(using)
    rows.create(name=name, key=json.dumps(key), model=model[:NAME_LENGTH], **_failure(error, using))


def renew(name: str, using: str, key: Any, error: BaseException) -> None:
    """Say what is wrong with a row now: on another try it failed again, in the current transaction."""
    aside = QuarantinedRow.objects.using(using).filter(name=name, key=json.dumps(key), accepted_at=None)
    aside.update(**_failure(error, using))


def _failure(error: BaseException, using: str) -> dict[str, Any]:
    return {
        "error": f"{type(error).__name__}: {error}".replace("\x00", ""),
        "traceback": "".join(traceback.format_exception(error)).replace("\x00", ""),
        "at": databases.now(using),
    }


def rows(name: str, using: str) -> list[QuarantinedRow]:
    """The rows set aside that nobody accepted, oldest first."""
    return list(QuarantinedRow.objects.using(using).filter(name=name, accepted_at=None))


def keys(name: str, using: str) -> list[Any]:
    """Their keys, as JSON has them."""
    return [json.loads(row.key) for row in rows(name, using)]


def release(name: str, using: str, released: Sequence[Any]) -> None:
    """Take rows out again that went through on another try, in the current transaction."""
    texts = [json.dumps(key) for key in released]
    QuarantinedRow.objects.using(using).filter(name=name, key__in=texts, accepted_at=None).delete()


def every(name: str, using: str) -> list[QuarantinedRow]:
    """All rows set aside, the accepted ones too, oldest first."""
    return list(QuarantinedRow.objects.using(using).filter(name=name))


def accept(name: str, using: str, *, by: str, reason: str) -> int:
    """Take it that these rows stay as they are; gives how many. They are kept, with who and why, and so is the history.

    The run that finds the quarantine accepted counts as applied.
    """
    with transaction.atomic(using=using):
        now = databases.now(using)
        theirs = QuarantinedRow.objects.using(using).filter(name=name)
        count = theirs.filter(accepted_at=None).update(accepted_by=by, accepted_reason=reason, accepted_at=now)
        if count:
            first = theirs.filter(accepted_at=now).values_list("key", flat=True)[:FEW_KEYS]
            aside = SetAside(count, [row_key(json.loads(key)) for key in first])
            ledger.note_accepted(name, aside, using=using, by=by, reason=reason)
    return count


def how_to_accept(name: str, using: str) -> str:
    """The command that takes those rows as they are."""
    option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
    return f"manage.py custom_migrations quarantine {name}{option} --accept --reason TEXT"


def sift(
    keys: Sequence[Any], attempt: Callable[[Sequence[Any]], int], is_fatal: Callable[[BaseException], bool], using: str
) -> tuple[int, list[tuple[Any, BaseException]]]:
    """Do what can be done and find out what cannot, by halving: about 2·p·log2(n) attempts for p poison rows in n.

    Each attempt is in a savepoint of its own.

    Args:
        attempt: does the work for some keys and gives the rows done.
        is_fatal: whether an error is not that of a row, but of the run.

    Returns:
        The rows done, and each poison key with its error.
    """
    try:
        with transaction.atomic(using=using):
            return attempt(keys), []
    except Exception as error:
        if is_fatal(error):
            raise
        if len(keys) == 1:
            return 0, [(keys[0], error)]
    middle = len(keys) // 2
    done, poison = 0, []
    for half in (keys[:middle], keys[middle:]):
        half_done, half_poison = sift(half, attempt, is_fatal, using)
        done += half_done
        poison += half_poison
    return done, poison

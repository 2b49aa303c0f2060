"""Fields of a project's own, each with a preparation of its own."""

from __future__ import annotations

from typing import Any

from django.db import models


class LoudField(models.CharField):
    """Text that is stored in capitals: the preparation for saving changes it."""

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        value = super().get_db_prep_save(value, connection)
        return value.upper() if isinstance(value, str) else value


class Money:
    """An amount that no driver knows."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


class MoneyField(models.IntegerField):
    """Money, stored as cents."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Money(value)

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Money) else Money(int(value))

    def get_prep_value(self, value: Any) -> Any:
        return value.cents if isinstance(value, Money) else value


class VersionField(models.IntegerField):
    """A number that rises by one with each save."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        value = getattr(model_instance, self.attname) + (not add)
        setattr(model_instance, self.attname, value)
        return value


class TrimmedField(models.CharField):
    """Text that the database trims: the value is wrapped in SQL."""

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "TRIM(%s)"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
        return "TRIM(%s)", (value,)

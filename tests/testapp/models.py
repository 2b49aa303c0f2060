"""Models for the tests' data migrations to change."""

from django.db import models


class User(models.Model):
    """The user of the README's example."""

    email = models.CharField(max_length=200, default="")
    needs_migration = models.BooleanField(default=True)
    migrated = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.email


class Item(models.Model):
    """A row with a number to count with."""

    name = models.CharField(max_length=100, unique=True)
    amount = models.IntegerField(default=0)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.name

"""Models for the tests' data migrations to change."""

import uuid

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


class Token(models.Model):
    """A row with a UUID for a key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    amount = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.id)


class Label(models.Model):
    """A row with a text for a key."""

    name = models.CharField(max_length=50, primary_key=True)
    amount = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Seat(models.Model):
    """A row with two columns for a key."""

    pk = models.CompositePrimaryKey("hall", "number")
    hall = models.CharField(max_length=10)
    number = models.IntegerField()
    amount = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.hall}{self.number}"

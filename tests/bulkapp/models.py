"""Rows with every field, and rows with every kind of primary key."""

# Nulls in every kind of column are what is tested.

from __future__ import annotations

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F

from .fields import LoudField, MoneyField, TrimmedField, VersionField


class Colour(models.TextChoices):
    """A text with choices."""

    RED = "red"
    BLUE = "blue"


class Level(models.IntegerChoices):
    """A number with choices."""

    LOW = 1
    HIGH = 2


class Owner(models.Model):
    """What foreign keys point to."""

    name = models.CharField(max_length=20, default="")
    code = models.UUIDField(default=uuid.uuid4, unique=True)

    def __str__(self) -> str:
        return self.name


class Everything(models.Model):
    """A field of every kind that all databases have."""

    text = models.CharField(max_length=20, null=True)
    body = models.TextField(null=True)
    email = models.EmailField(null=True)
    slug = models.SlugField(null=True)
    url = models.URLField(null=True)
    integer = models.IntegerField(null=True)
    small = models.SmallIntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    boolean = models.BooleanField(null=True)
    number = models.FloatField(null=True)
    decimal = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    date = models.DateField(null=True)
    time = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    duration = models.DurationField(null=True)
    binary = models.BinaryField(null=True)
    uuid = models.UUIDField(null=True)
    json = models.JSONField(null=True)
    json_encoded = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    colour = models.CharField(max_length=10, choices=Colour.choices, null=True)
    level = models.IntegerField(choices=Level.choices, null=True)
    address = models.GenericIPAddressField(null=True)
    file = models.FileField(null=True)
    owner = models.ForeignKey(Owner, null=True, on_delete=models.CASCADE, related_name="+")
    by_code = models.ForeignKey(Owner, null=True, on_delete=models.CASCADE, to_field="code", related_name="+")
    owners = models.ManyToManyField(Owner)
    loud = LoudField(max_length=20, null=True)
    money = MoneyField(null=True)
    trimmed = TrimmedField(max_length=20, default="")
    version = VersionField(default=0)
    order = models.IntegerField(db_column="order by", null=True)
    updated = models.DateTimeField(auto_now=True)
    created = models.DateTimeField(auto_now_add=True)
    doubled = models.GeneratedField(expression=F("small") * 2, output_field=models.IntegerField(), db_persist=True)

    class Meta:
        db_table = "bulkapp every-thing"

    def __str__(self) -> str:
        return f"everything {self.pk}"


class UuidKey(models.Model):
    """A row that is found by a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    value = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return str(self.pk)


class TextKey(models.Model):
    """A row that is found by a text."""

    code = models.CharField(max_length=40, primary_key=True)
    value = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return self.code


class OwnerKey(models.Model):
    """A row that is found by the object that it belongs to."""

    owner = models.OneToOneField(Owner, primary_key=True, on_delete=models.CASCADE)
    value = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return str(self.pk)


class PairKey(models.Model):
    """A row that is found by two columns."""

    pk = models.CompositePrimaryKey("tenant", "code")
    tenant = models.IntegerField()
    code = models.CharField(max_length=20)
    value = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return f"{self.tenant}/{self.code}"


class Place(models.Model):
    """The parent in multi-table inheritance."""

    name = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return self.name


class Restaurant(Place):
    """A child with a table of its own."""

    stars = models.IntegerField(default=0)


class Bar(Restaurant):
    """A grandchild with a table of its own."""

    drinks = models.IntegerField(default=0)


class CheapPlace(Place):
    """Another Python class for the same rows."""

    class Meta:
        proxy = True

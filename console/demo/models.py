"""The demo shop's tables. Each has something that a data migration should put right."""

from __future__ import annotations

from django.db import models


class Country(models.Model):
    """A country that the shop sends to; filled by a data migration inside a Django migration."""

    code = models.CharField(max_length=2, unique=True)
    name = models.CharField(max_length=60)

    class Meta:
        verbose_name_plural = "countries"
        ordering = ("code",)

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    """A customer. E-mail addresses stand as they were typed; segments are not worked out yet."""

    class Segment(models.TextChoices):
        UNKNOWN = "", "not worked out"
        NEW = "new", "new"
        REGULAR = "regular", "regular"
        KEY = "key", "key account"

    email = models.CharField(max_length=254)
    name = models.CharField(max_length=100)
    country = models.CharField(max_length=2, db_index=True)
    segment = models.CharField(max_length=10, choices=Segment, default=Segment.UNKNOWN, blank=True)
    needs_migration = models.BooleanField(default=True)
    migrated = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.email


class Product(models.Model):
    """Something for sale. Two pairs of products share an article number."""

    sku = models.CharField("article number", max_length=20)
    name = models.CharField(max_length=100)
    price_cents = models.PositiveIntegerField()
    unique_sku = models.CharField("article number (unique)", max_length=20, unique=True, null=True, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"


class Order(models.Model):
    """An order. ``total`` is to replace ``total_cents``, and is empty until it is filled."""

    class Status(models.TextChoices):
        OPEN = "open", "open"
        PAID = "paid", "paid"
        SHIPPED = "shipped", "shipped"
        CANCELLED = "cancelled", "cancelled"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    total_cents = models.PositiveIntegerField()
    total = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    archived = models.BooleanField(default=False)
    placed_on = models.DateField(db_index=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"Order {self.pk}"

"""The table that is measured."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    """A row of ordinary width with an index besides its key."""

    email = models.CharField(max_length=254)
    name = models.CharField(max_length=100, db_index=True)
    amount = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=12, decimal_places=2, default="1.50")
    changed = models.DateTimeField(null=True)
    notes = models.TextField(default="")

    class Meta:
        app_label = "benchmarks"
        db_table = "benchmark_customer"

    def __str__(self) -> str:
        return self.email

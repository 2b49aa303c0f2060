"""Operations of Django migrations that deserve a second look."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import migrations, models

from console.dangers import Danger, Harm, Judge
from data_migrations.utils.migrations import RunDataMigration

Operations = list[Any]


def judged(operations: Operations, *, vendor: str = "postgresql", app: str = "shop") -> list[Danger]:
    """The dangers of these operations, in a second migration after one that makes a few tables."""
    judge = Judge(vendor)
    first = migrations.Migration("0001_initial", app)
    first.operations = [
        migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))]),
        migrations.CreateModel(
            "Order",
            [
                ("id", models.AutoField(primary_key=True)),
                ("note", models.CharField(max_length=100, null=True)),
                ("free", models.CharField(null=True)),
                ("count", models.IntegerField()),
                ("price", models.DecimalField(max_digits=10, decimal_places=4)),
                ("tags", models.ManyToManyField("shop.Tag")),
                ("tag", models.ForeignKey("shop.Tag", models.CASCADE, db_index=False, related_name="+")),
            ],
        ),
        migrations.CreateModel("View", [("id", models.AutoField(primary_key=True))], options={"managed": False}),
    ]
    assert judge.judge(first) == []
    second = migrations.Migration("0002_second", app)
    second.operations = operations
    return judge.judge(second)


def alter(name: str, field: Any) -> Operations:
    return [migrations.AlterField("order", name, field)]


def harms(operations: Operations, vendor: str = "sqlite") -> list[str]:
    return [danger.harm for danger in judged(operations, vendor=vendor)]


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ([migrations.RemoveField("order", "note")], "drops the column"),
        ([migrations.RemoveField("order", "tags")], "drops the table that links"),
        ([migrations.DeleteModel("Order")], "drops the table with all its rows"),
        (alter("count", models.CharField(max_length=9)), "changes the type from IntegerField to CharField"),
        (alter("note", models.CharField(max_length=50, null=True)), "from 100 to 50"),
        (alter("free", models.CharField(max_length=50, null=True)), "from no limit to 50"),
        (alter("note", models.CharField(max_length=100)), "forbids NULL without a default"),
        (alter("price", models.DecimalField(max_digits=10, decimal_places=2)), "2 instead of 4 decimal places"),
        (alter("price", models.DecimalField(max_digits=8, decimal_places=4)), "fewer digits before the point"),
        (alter("tag", models.ForeignKey("shop.Order", models.CASCADE, db_index=False)), "points to shop.order"),
        ([migrations.AddField("order", "key", models.CharField(unique=True, default=""))], "the same unique value"),
        ([migrations.RunSQL("DELETE FROM shop_order", "")], "runs DELETE"),
        ([migrations.RunSQL(["SELECT 1", ("TRUNCATE %s", ["x"])], "")], "runs TRUNCATE"),
        (
            [migrations.SeparateDatabaseAndState(database_operations=[migrations.DeleteModel("Order")])],
            "drops the table",
        ),
    ],
)
@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mysql"])
def test_what_may_lose_data_is_marked_with_a_word_why(operations: Operations, why: str, vendor: str) -> None:
    losses = [danger for danger in judged(operations, vendor=vendor) if danger.harm == Harm.LOSS]
    assert len(losses) == 1
    assert why in losses[0].why


@pytest.mark.parametrize(
    "operations",
    [
        alter("note", models.CharField(max_length=200, null=True)),
        alter("note", models.SlugField(max_length=100, null=True, db_index=False)),
        alter("note", models.CharField(max_length=100, default="")),
        alter("note", models.CharField(max_length=100, blank=True)),
        alter("note", models.CharField(max_length=100, db_default="")),
        alter("count", models.IntegerField(default=3, help_text="How many")),
        alter("price", models.DecimalField(max_digits=12, decimal_places=4)),
        [migrations.AddField("order", "more", models.IntegerField(null=True))],
        [migrations.AddField("order", "others", models.ManyToManyField("shop.Tag", related_name="+"))],
        [migrations.DeleteModel("View")],
        [migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Order")])],
        [migrations.RunSQL("UPDATE shop_order SET note = 'DROP TABLE'", "")],
        [migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)],
        [RunDataMigration("increment")],
        [migrations.AlterUniqueTogether("order", set())],
    ],
)
def test_what_is_harmless_is_not_marked(operations: Operations) -> None:
    assert judged(operations) == []


def test_a_wider_type_only_locks() -> None:
    assert harms(alter("note", models.TextField(null=True))) == [Harm.LOCK]
    assert harms(alter("count", models.BigIntegerField())) == [Harm.LOCK]
    assert harms(alter("count", models.SmallIntegerField())) == [Harm.LOSS]


INDEX = models.Index(fields=["count"], name="by_count")


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddIndex("order", INDEX)],
        [migrations.AddField("order", "code", models.CharField(null=True, unique=True))],
        [migrations.AddField("order", "other", models.ForeignKey("shop.Tag", models.CASCADE, null=True))],
        alter("count", models.IntegerField(db_index=True)),
        alter("count", models.IntegerField(unique=True)),
        [migrations.AddConstraint("order", models.UniqueConstraint(fields=["count"], name="once"))],
        [migrations.AddConstraint("order", models.CheckConstraint(condition=models.Q(count__gt=0), name="many"))],
        [migrations.AlterUniqueTogether("order", {("note", "count")})],
        [migrations.RunSQL("CREATE INDEX i ON shop_order (count)", "")],
    ],
)
def test_an_index_that_is_not_built_concurrently_is_marked_on_postgresql_only(operations: Operations) -> None:
    assert harms(operations, "postgresql") == [Harm.LOCK]
    assert harms(operations, "sqlite") == []
    assert harms(operations, "mysql") == []


def test_an_index_built_concurrently_is_not_marked() -> None:
    # Named as Django's own, which cannot be imported without a driver for PostgreSQL.
    class AddIndexConcurrently(migrations.AddIndex):
        pass

    assert judged([AddIndexConcurrently("order", INDEX)]) == []


def test_a_table_that_the_same_migration_makes_has_no_rows_to_lose_or_lock() -> None:
    new = migrations.CreateModel("New", [("id", models.AutoField(primary_key=True)), ("count", models.IntegerField())])
    index = migrations.AddIndex("new", models.Index(fields=["count"], name="new_count"))
    assert judged([new, index, migrations.RemoveField("new", "count")]) == []


def test_a_renamed_field_is_judged_under_its_new_name() -> None:
    together = migrations.AlterUniqueTogether("order", {("note", "count")})
    again = migrations.AlterUniqueTogether("order", {("text", "count")})
    shorter = migrations.AlterField("order", "text", models.CharField(max_length=50, null=True))
    found = judged([together, migrations.RenameField("order", "note", "text"), again, shorter])
    assert [danger.harm for danger in found] == [Harm.LOCK, Harm.LOSS]


def test_a_field_that_was_altered_is_judged_by_what_it_became() -> None:
    longer = migrations.AlterField("order", "note", models.CharField(max_length=300, null=True))
    shorter = migrations.AlterField("order", "note", models.CharField(max_length=200, null=True))
    assert ["from 300 to 200" in danger.why for danger in judged([longer, shorter])] == [True]


def test_what_has_no_way_back_is_noted() -> None:
    found = judged([migrations.RunPython(migrations.RunPython.noop), migrations.RunSQL("SELECT 1")])
    assert [danger.harm for danger in found] == [Harm.ONE_WAY, Harm.ONE_WAY]
    assert "reverse_code" in found[0].why
    assert "reverse_sql" in found[1].why


def test_an_operation_that_raises_does_not_hide_the_others() -> None:
    class Odd(migrations.RunSQL):
        def state_forwards(self, app_label: str, state: Any) -> None:
            raise RuntimeError("odd")

    odd = Odd("SELECT 1")
    odd.sql = 3  # type: ignore[assignment]
    found = judged([odd, migrations.RemoveField("order", "note")])
    assert ["could not be judged" in danger.why for danger in found] == [True, False]
    assert found[1].harm == Harm.LOSS

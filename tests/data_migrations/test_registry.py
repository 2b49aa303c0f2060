"""Which data migrations the code has."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from django.apps import apps

from data_migrations import registry
from data_migrations.exceptions import BrokenMigration, UnknownMigration


def names() -> list[str]:
    return [migration.name for migration in registry.all_migrations()]


def test_data_migrations_are_found_and_other_commands_are_not():
    assert "migrate_user_data_v1_2024_11_21" in names()
    assert all("custom_migrations" not in name for name in names())
    assert names() == sorted(names())


def test_a_registered_migration_tells_what_its_code_says():
    migration = registry.get("reversible_v2_2026_01_06")
    assert migration.command_name == "reversible"
    assert migration.app_name == "tests.testapp"
    assert migration.description == "Add ten to every item"
    assert migration.reversible
    assert migration.atomic
    assert not registry.get("increment_items_loose_2026_01_02").atomic
    assert registry.get("dependent_2026_01_04").depends_on == ("increment_items_2026_01_01",)


def test_the_checksum_is_that_of_the_source():
    migration = registry.get("reversible_v2_2026_01_06")
    source = Path(sys.modules[migration.module_name].__file__ or "").read_text()
    assert migration.source == source
    assert migration.checksum == hashlib.sha256(source.encode()).hexdigest()


def test_a_broken_module_is_kept_as_such_and_hides_nobody(odd_app):
    broken = registry.get("cannot_import")
    assert broken.command_class is None
    assert "a_module_that_is_not_there" in broken.error
    assert "migrate_user_data_v1_2024_11_21" in names()
    with pytest.raises(BrokenMigration, match="a_module_that_is_not_there"):
        registry.get_command("cannot_import")


def test_a_command_that_cannot_be_one_is_not_imported(odd_app):
    assert "not_ours" not in names()
    assert "tests.oddapp.management.commands.not_ours" not in sys.modules


def test_an_unknown_name_has_near_matches():
    with pytest.raises(UnknownMigration, match="Did you mean reversible_v2_2026_01_06"):
        registry.get("reversible_v1_2026_01_06")


def test_an_app_is_called_by_its_label(monkeypatch):
    def label(app_name):
        return registry.RegisteredMigration("name", "command", app_name, "module", None).app_label

    monkeypatch.setattr(apps.get_app_config("testapp"), "label", "shop")
    assert label("tests.testapp") == "shop"
    # Where the app is gone meanwhile.
    assert label("tests.gone") == "gone"

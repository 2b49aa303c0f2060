"""A data migration as part of the shop's own migrations."""

from django.db import migrations

from data_migrations.utils.migrations import RunDataMigration


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0001_initial"),
        ("data_migrations", "0001_initial"),
    ]

    operations = [RunDataMigration("seed_countries")]

from django.db import migrations

from data_migrations.utils.migrations import RunDataMigration


class Migration(migrations.Migration):
    dependencies = [("testapp", "0001_initial"), ("data_migrations", "0001_initial")]
    operations = [RunDataMigration("increment", {"lines": 2})]

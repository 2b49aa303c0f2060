from django.db import migrations

from data_migrations.utils.migrations import RunDataMigration


class Migration(migrations.Migration):
    dependencies = [("testapp", "0002_run_increment")]
    operations = [RunDataMigration("reversible")]

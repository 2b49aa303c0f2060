from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("testapp", "0002_run_increment")]
    operations = [
        migrations.RemoveField("item", "amount"),
        migrations.RunPython(lambda apps, schema_editor: None),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0005_operations"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="ignore_window",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]

"""The tests' own tools: a process that a test starts sees the test's database."""

from __future__ import annotations

import pytest
from django.db import connections

from tests.processes import run_manage
from tests.testapp.models import User


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_process_sees_the_rows_of_the_test() -> None:
    aliases = [alias for alias in connections if alias != "console"]
    for alias in aliases:
        User.objects.using(alias).create(email=f"{alias}@example.com")
    code = (
        f"from tests.testapp.models import User;print([User.objects.using(alias).get().email for alias in {aliases!r}])"
    )
    done = run_manage("shell", "--verbosity", "0", "-c", code)
    assert done.stderr == ""
    assert done.stdout.strip() == repr([f"{alias}@example.com" for alias in aliases])

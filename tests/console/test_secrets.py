"""Values of sensitive arguments do not reach the console's tables, whichever door the run came through."""

from __future__ import annotations

import pytest
from django.db import connections

from console.models import LogChunk, Run
from tests import processes

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]


def test_what_a_shell_run_prints_of_its_password_is_masked():
    for connection in connections.all():
        connection.close()
    done = processes.run_manage("with_arguments", "de", "--password", "hunter2")
    assert done.returncode == 0, done.stderr
    # A terminal is the person's own; what is stored is everybody's.
    assert "using hunter2" in done.stdout
    run = Run.objects.get()
    stored = "\n".join(LogChunk.objects.filter(run=run).values_list("text", flat=True))
    assert "using ********" in stored
    assert "hunter2" not in stored + str(Run.objects.values().get())

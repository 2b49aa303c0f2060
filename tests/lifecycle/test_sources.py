"""A CSV file whose run is killed and cut off: every row once."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from data_migrations import checkpoints, ledger
from tests.lifecycle.moments import at_one_moment
from tests.testapp.models import Item

pytestmark = [pytest.mark.lifecycle, pytest.mark.django_db(databases="__all__", transaction=True)]

NAME = "import_items_2026_02_20"
KILLS = int(os.environ.get("TEST_KILLS", "100")) // 4
ROWS = 20_000


def test_killed_again_and_again_every_row_of_the_file_is_inserted_once(nurseries, tmp_path):
    path = tmp_path / "items.csv"
    # Lines within a row, so that neither counting lines nor cutting at them would find the next one.
    lines = "line\n"
    path.write_text("name,amount\n" + "".join(f'"{lines * (n % 3)}{n}",{n}\n' for n in range(ROWS)))
    nursery = nurseries()
    moments = random.Random(20261121)
    arguments = ["import_items", "--csv", str(path)]
    killed = 0
    while killed < KILLS:
        child = nursery.start(*arguments, "--batch-size", "5", "--each", "0.002")
        time.sleep(moments.uniform(0.0, 0.4))
        child.signal(signal.SIGKILL)
        killed += 1
        assert child.wait() == -signal.SIGKILL, child.text()
        with at_one_moment():
            checkpoint = checkpoints.find(NAME, "default")
            # Neither a row before its checkpoint nor a checkpoint before its row.
            assert Item.objects.count() == (checkpoint.rows if checkpoint else 0)
    last = nursery.start(*arguments, "--batch-size", "2000")
    assert last.wait() == 0, last.text()
    # Names are unique: a row inserted twice would have failed the run.
    assert Item.objects.count() == ROWS
    assert set(Item.objects.values_list("amount", flat=True)) == set(range(ROWS))
    assert ledger.get(NAME, "default").result == str(ROWS)

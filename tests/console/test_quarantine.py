"""Rows that were set aside, on the pages."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Value
from django.db.models.functions import Concat, Replace
from django.test import Client

from console import dispatch, worker
from console.models import Kind, Run
from data_migrations import ledger
from data_migrations.models import Checkpoint, QuarantinedRow
from data_migrations.reporting import Door
from tests.console.pages import EVERYTHING, address, person, run_address
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

POISON = "batch_poison_2026_02_02"
LIST = "/admin/console/migration/"


@pytest.fixture
def run() -> Run:
    """A run that set two rows aside."""
    names = ["poison <b>one</b>", "good", "poison two", "fine"]
    Item.objects.bulk_create([Item(name=name) for name in names])
    return again()


def again() -> Run:
    run = dispatch.request_run(POISON, user="ana", reason="test")
    worker.perform(run.pk)
    run.refresh_from_db()
    return run


@pytest.fixture
def boss(db: None) -> Client:
    """A browser of somebody who may accept."""
    client = Client()
    client.force_login(person("bea", *EVERYTHING, "accept_quarantine"))
    return client


def test_what_was_set_aside_is_on_both_pages(run: Run, boss: Client) -> None:
    assert run.status == "failed"
    for url in (run_address(run), address("change", POISON)):
        page = boss.get(url).content.decode()
        assert "2 rows could not be worked on and were set aside" in page
        assert "poison &lt;b&gt;one&lt;/b&gt; cannot be read" in page
        assert "Traceback" in page
        assert "Accept with a reason…" in page
        assert "Retry them…" in page


def test_the_error_says_it_once_and_in_words(run: Run, boss: Client) -> None:
    page = boss.get(run_address(run)).content.decode()
    assert 'id="console-error-title">It is through with 2 rows, but 2 rows (' in page
    assert "set aside.</h2>" in page
    assert '<p class="console-error-message">This run was not recorded as applied.</p>' in page
    # The buttons are in the box below, and nothing names a command of the shell.
    assert '<a href="#console-quarantine-title">See the rows that were set aside</a>' in page
    assert "When the cause is mended" not in page
    assert "custom_migrations quarantine" not in page
    assert "QuarantineNotEmpty" not in page


def test_each_row_says_whose_key_it_has_and_leads_to_where_it_can_be_mended(run: Run, boss: Client) -> None:
    first, second = QuarantinedRow.objects.order_by("pk")
    assert first.model == "testapp.item"
    page = boss.get(run_address(run)).content.decode()
    # Not in this admin.
    assert f'<code dir="ltr">testapp.item key {first.key}</code></th>' in page
    QuarantinedRow.objects.filter(pk=second.pk).update(model="auth.group", key="5")
    assert "/admin/auth/group/5/change/" not in boss.get(run_address(run)).content.decode()
    User.objects.filter(username="bea").update(is_superuser=True)
    page = boss.get(run_address(run)).content.decode()
    assert '<a href="/admin/auth/group/5/change/"><code dir="ltr">auth.group key 5</code></a></th>' in page
    # Processes with older code do not say; and a command may be gone with its model.
    for label in ("", "auth.gone", "gone"):
        QuarantinedRow.objects.update(model=label)
        assert f'<code dir="ltr">{label} key 5</code>'.replace("> ", ">") in boss.get(run_address(run)).content.decode()


def test_a_run_shows_no_rows_that_may_be_of_a_later_one(run: Run, boss: Client) -> None:
    later = again()
    page = boss.get(run_address(run)).content.decode()
    assert "Rows set aside" not in page
    assert "See the rows" not in page
    assert "Rows set aside" in boss.get(run_address(later)).content.decode()


def test_once_all_are_accepted_it_is_to_be_recorded(run: Run, boss: Client) -> None:
    dry = dispatch.request_run(POISON, user="ana", kind=Kind.DRY_RUN)
    worker.perform(dry.pk)
    boss.post(address("accept", POISON), {"reason": "They are test orders"})
    page = boss.get(LIST).content.decode()
    assert "Done, to be recorded" in page
    assert "Last run failed" not in page
    assert "Interrupted" not in page
    form = boss.get(address("run", POISON, again=str(run.pk))).content.decode()
    assert "set aside, and counts" not in form
    asked = {"kind": "run", "database": "default", "reason": "to record it"}
    confirm = " ".join(boss.post(address("run", POISON), asked).content.decode().split())
    assert "None is left: 2 were done by earlier runs. This one records it." in confirm
    # A dry run of the rows that are done now would say what it is not going to do.
    assert run_address(dry) not in confirm


def test_a_forced_run_that_left_rows_goes_on_as_one(run: Run, boss: Client) -> None:
    ticked = re.compile(r'<input type="checkbox" name="force"[^>]* checked')
    ledger.record(POISON, using="default", by="ana", door=Door.SHELL)
    assert not ticked.search(boss.get(address("run", POISON, again=str(run.pk))).content.decode())
    Run.objects.update(force=True)
    assert ticked.search(boss.get(address("run", POISON, again=str(run.pk))).content.decode())
    Checkpoint.objects.all().delete()
    assert not ticked.search(boss.get(address("run", POISON, again=str(run.pk))).content.decode())


def test_while_other_rows_are_left_there_is_nothing_to_choose(run: Run, boss: Client) -> None:
    Checkpoint.objects.update(exhausted=False)
    for url in (run_address(run), address("change", POISON)):
        page = boss.get(url).content.decode()
        assert "The other rows are not done yet; after them they can be retried or accepted." in page
        assert "Retry them…" not in page
        assert "Accept with a reason…" not in page


def test_the_retry_says_what_it_tries_and_repeats_the_reason(run: Run, boss: Client) -> None:
    for url in (run_address(run), address("change", POISON)):
        page = boss.get(url).content.decode()
        found = re.search(r'<a href="([^"]+)">Retry them…</a>', page)
        assert found is not None
        form = boss.get(found[1]).content.decode()
        assert "A run tries the 2 rows that are set aside, and counts as applied when they go through." in form
        assert ">\ntest</textarea>" in form


def test_where_it_is_applied_already_both_are_said(run: Run, boss: Client) -> None:
    ledger.record(POISON, using="default", by="ana", door=Door.SHELL)
    page = boss.get(address("change", POISON)).content.decode()
    # The state comes first, and what is on record after it.
    assert re.search(r"so that this is not recorded\..*On record is what was before that: Applied ", page, re.S)
    assert '2 of them are <a href="#console-quarantine-title">set aside</a>, so that this is not recorded.' in page
    QuarantinedRow.objects.all().delete()
    page = boss.get(address("change", POISON)).content.decode()
    assert "It is through with all its rows, and only has to be recorded, although it is applied already" in page


def test_the_list_and_the_page_say_what_to_do_about_them(run: Run, boss: Client) -> None:
    page = boss.get(LIST).content.decode()
    assert "Rows set aside" in page
    assert "Last run failed" not in page
    link = f'<a href="{address("change", POISON)}#console-quarantine">2 rows are set aside</a>'
    assert f"{link}: mend them and run it again, or accept them." in page
    assert POISON in boss.get(LIST + "?state=quarantined").content.decode()
    page = boss.get(address("change", POISON)).content.decode()
    assert "A run of it did not come to its end" not in page
    assert '2 of them are <a href="#console-quarantine-title">set aside</a>: it is not applied yet.' in page
    # What to do is said once; and that the run failed says nothing more.
    assert page.count("counts as applied") == 1
    assert "Its last run failed" not in page
    QuarantinedRow.objects.all()[:1].get().delete()
    boss.post(address("accept", POISON), {"reason": "They are test orders"})
    page = boss.get(address("change", POISON)).content.decode()
    assert "It is through with all its rows, and only has to be recorded: <a " in page
    # The button says so, too, and begins with what the run had that did the rows.
    url = address("run", POISON, again=str(run.pk)).replace("&", "&amp;")
    assert f'<a href="{url}">Record it…</a>' in page


def test_rows_are_accepted_with_a_reason_and_then_it_counts_as_applied(run: Run, boss: Client) -> None:
    url = address("accept", POISON)
    assert "poison two" in boss.get(url).content.decode()
    assert "Nothing was changed" in boss.post(url, {"reason": " "}).content.decode()
    assert QuarantinedRow.objects.filter(accepted_at=None).count() == 2
    page = boss.post(url, {"reason": "They are test orders"}, follow=True).content.decode()
    assert "Accepted: 2 rows stay as they are." in page
    row = QuarantinedRow.objects.first()
    assert row is not None
    assert (row.accepted_by, row.accepted_reason) == ("bea", "They are test orders")
    assert "They are test orders" in LogEntry.objects.get().change_message
    assert "accepted" in page
    assert not ledger.is_applied(POISON, "default")
    assert again().status == "succeeded"
    assert ledger.is_applied(POISON, "default")
    assert sorted(Item.objects.values_list("amount", flat=True)) == [0, 0, 1, 1]


def test_rows_that_were_mended_go_through_when_it_is_run_again(run: Run) -> None:
    Item.objects.filter(name__startswith="poison").update(name=Replace("name", Value("poison"), Value("mended")))
    assert again().status == "succeeded"
    assert set(Item.objects.values_list("amount", flat=True)) == {1}
    assert not QuarantinedRow.objects.exists()


def test_what_was_accepted_is_shown_once_and_only_with_the_record_that_it_is_of(run: Run, boss: Client) -> None:
    def accepted() -> int:
        found = re.search(r"Accepted rows \((\d+)\)", boss.get(address("change", POISON)).content.decode())
        return int(found[1]) if found else 0

    def run_it() -> Run:
        forced = dispatch.request_run(POISON, user="ana", reason="test", force=True)
        worker.perform(forced.pk)
        forced.refresh_from_db()
        return forced

    boss.post(address("accept", POISON), {"reason": "test orders"})
    assert accepted() == 2
    assert run_it().status == "succeeded"
    assert accepted() == 2
    applying = Run.objects.latest()
    # Run once more, both fail again: they wait now, though the record as it stands was made without them.
    asked = {"kind": "run", "database": "default", "reason": "again", "force": "on"}
    confirm = " ".join(boss.post(address("run", POISON), asked).content.decode().split())
    assert "<dt>Accepted rows</dt><dd>2 that were accepted are tried again;" in confirm
    assert run_it().status == "failed"
    assert accepted() == 0
    # Without which rows it was recorded stays to be read where that was.
    assert "Accepted rows (2)" in boss.get(run_address(applying)).content.decode()
    assert "Accepted rows" not in boss.get(run_address(run)).content.decode()
    boss.post(address("accept", POISON), {"reason": "still test orders"})
    assert accepted() == 2
    assert run_it().status == "succeeded"
    assert accepted() == 2
    page = boss.get(run_address(applying)).content.decode()
    assert "Accepted rows (2)" in page
    assert "still test orders" not in page
    Item.objects.filter(name__startswith="poison").update(name=Concat(Value("mended "), "name"))
    assert run_it().status == "succeeded"
    assert accepted() == 0
    assert "Accepted rows" not in boss.get(run_address(Run.objects.latest())).content.decode()


def test_nobody_accepts_without_the_permission(run: Run, client_of_ana: Client) -> None:
    assert "Accept with a reason…" not in client_of_ana.get(run_address(run)).content.decode()
    assert client_of_ana.get(address("accept", POISON)).status_code == 403
    assert client_of_ana.post(address("accept", POISON), {"reason": "x"}).status_code == 403
    assert QuarantinedRow.objects.filter(accepted_at=None).count() == 2


def test_with_nothing_to_accept_nothing_is(boss: Client) -> None:
    page = boss.post(address("accept", POISON), {"reason": "x"}, follow=True).content.decode()
    assert "No row waits to be accepted" in page


def test_tracebacks_are_for_those_who_may_read_logs(run: Run, viewer: Client) -> None:
    page = viewer.get(run_address(run)).content.decode()
    assert "cannot be read" in page
    assert "perform_batch" not in page

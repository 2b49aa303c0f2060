"""Django's own migrations beside the data migrations: one database, read and shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError
from django.test import Client

from console import schema
from console.schema import Overview, Row
from data_migrations import ledger, registry
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, address, person

pytestmark = pytest.mark.django_db(databases="__all__")

PAGE = "/admin/console/schemamigration/"
OURS = "tests.console.schema_migrations"
Write = Callable[..., None]


@pytest.fixture
def three(settings: Any) -> None:
    """The testapp with three migrations, of which the first is applied."""
    settings.MIGRATION_MODULES = {"testapp": OURS}


def row(overview: Overview, name: str, app: str = "testapp") -> Row:
    return next(each for each in overview.rows if (each.app, each.name) == (app, name))


def apply(name: str, app: str = "testapp") -> None:
    MigrationRecorder(connections["default"]).record_applied(app, name)


def record() -> None:
    ledger.record(INCREMENT, using="default", by="ben", door=Door.MIGRATE)


@pytest.fixture
def written(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A function that writes migrations of the testapp, which are forgotten afterwards."""
    package = tmp_path / "written_migrations"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"testapp": "written_migrations"}

    def write(name: str, *dependencies: str, operations: str = "", raw: str | None = None) -> None:
        needed = ", ".join(f'("testapp", "{each}")' for each in dependencies)
        text = (
            "from django.db import migrations, models\n\n"
            f"class Migration(migrations.Migration):\n    dependencies = [{needed}]\n    operations = [{operations}]\n"
        )
        (package / f"{name}.py").write_text(text if raw is None else raw)

    yield write
    for name in [name for name in sys.modules if name.startswith("written_migrations")]:
        del sys.modules[name]


def test_the_order_is_that_of_migrate_and_applied_ones_have_their_time(three: None) -> None:
    overview = schema.read("default")
    assert overview.problems == []
    names = [each.name for each in overview.rows if each.app == "testapp"]
    assert names == ["0001_initial", "0002_run_increment", "0003_drop_label"]
    order = [(each.app, each.name) for each in overview.rows]
    assert order.index(("data_migrations", "0001_initial")) < order.index(("testapp", "0002_run_increment"))
    assert row(overview, "0001_initial").state == "applied"
    assert row(overview, "0001_initial").applied_at is not None
    assert row(overview, "0003_drop_label").state == "pending"
    assert row(overview, "0003_drop_label").is_destructive


def test_a_data_migration_stands_beside_the_one_that_runs_it(three: None) -> None:
    before = row(schema.read("default"), "0002_run_increment").runs
    assert [(each.name, each.state) for each in before] == [(INCREMENT, "pending")]
    record()
    assert row(schema.read("default"), "0002_run_increment").runs[0].state == "applied"


def test_a_data_migration_stands_beside_the_one_that_it_needs(three: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.testapp.management.commands.needs_schema import Command

    monkeypatch.setattr(Command, "requires_schema", [("testapp", "0003_drop_label")])
    needed = row(schema.read("default"), "0003_drop_label").needed_by
    assert [each.name for each in needed] == ["needs_schema_2026_01_05"]


def test_one_that_was_faked_without_its_data_migration_says_so(three: None) -> None:
    apply("0002_run_increment")
    notes = row(schema.read("default"), "0002_run_increment").notes
    assert len(notes) == 1
    assert f"the data migration {INCREMENT} that it runs is not recorded: was it faked" in notes[0]
    record()
    assert row(schema.read("default"), "0002_run_increment").notes == ()


def test_a_database_that_the_router_keeps_the_app_out_of_is_not_called_faked(
    three: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply("0002_run_increment")
    monkeypatch.setattr("console.schema.router.allow_migrate", lambda alias, app, **hints: app != "testapp")
    assert row(schema.read("default"), "0002_run_increment").notes == ()


def test_one_that_is_recorded_and_not_on_disk_is_listed(three: None) -> None:
    apply("0000_gone")
    gone = row(schema.read("default"), "0000_gone")
    assert (gone.state, gone.in_code) == ("unregistered", False)


def test_a_squashed_one_whose_parts_are_applied_is_applied(written: Write) -> None:
    written("0001_initial")
    written("0002_more", "0001_initial")
    squashed = '    replaces = [("testapp", "0001_initial"), ("testapp", "0002_more")]\n'
    head = "from django.db import migrations\n\nclass Migration(migrations.Migration):\n"
    written("0001_squashed", raw=head + squashed + "    dependencies = []\n")
    apply("0002_more")
    overview = schema.read("default")
    assert [(each.name, each.state) for each in overview.rows if each.app == "testapp"] == [
        ("0001_squashed", "applied")
    ]
    assert overview.problems == []


def test_a_module_that_cannot_be_imported_hides_no_other(written: Write, client_of_ana: Client) -> None:
    written("0001_initial")
    written("0002_broken", raw="def (\n")
    written("0003_after", "0002_broken")
    overview = schema.read("default")
    names = [each.name for each in overview.rows if each.app == "testapp"]
    assert names == ["0001_initial", "0003_after"]
    assert any("testapp.0002_broken cannot be imported" in problem for problem in overview.problems)
    assert any("do not fit together" in problem for problem in overview.problems)
    html = client_of_ana.get(PAGE).content.decode()
    assert "testapp.0002_broken cannot be imported" in html
    # The list of data migrations reads Django's migrations as well.
    assert client_of_ana.get(address("change")).status_code == 200


def test_two_last_migrations_are_said_with_what_joins_them(written: Write) -> None:
    written("0001_initial")
    written("0002_one", "0001_initial")
    written("0002_other", "0001_initial")
    overview = schema.read("default")
    assert any("testapp has more than one last migration" in problem for problem in overview.problems)
    assert any("makemigrations --merge" in problem for problem in overview.problems)
    assert len([each for each in overview.rows if each.app == "testapp"]) == 3


def test_a_circle_is_said_and_all_are_listed(written: Write) -> None:
    written("0001_initial", "0002_second")
    written("0002_second", "0001_initial")
    overview = schema.read("default")
    assert any("do not fit together" in problem for problem in overview.problems)
    assert len([each for each in overview.rows if each.app == "testapp"]) == 2


def test_a_history_that_does_not_fit_the_code_is_said(written: Write) -> None:
    written("0000_before")
    written("0001_initial", "0000_before")
    overview = schema.read("default")
    assert any("history does not fit the code" in problem for problem in overview.problems)


def test_a_database_that_does_not_answer_is_said(
    three: None, monkeypatch: pytest.MonkeyPatch, client_of_ana: Client
) -> None:
    def refuse(self: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", refuse)
    overview = schema.read("default")
    assert {each.state for each in overview.rows} == {"unknown"}
    response = client_of_ana.get(PAGE)
    assert response.status_code == 200
    assert "does not answer, so what is applied is not known: connection refused" in response.content.decode()


def test_the_number_of_queries_is_that_of_one_database(three: None, django_assert_max_num_queries: Any) -> None:
    from django.test.utils import CaptureQueriesContext

    schema.read("default")
    with CaptureQueriesContext(connections["default"]) as few:
        schema.read("default")
    for index in range(30):
        apply(f"9{index:03}_gone")
    with CaptureQueriesContext(connections["default"]) as many:
        schema.read("default")
    assert len(many) == len(few) <= 8


def names(html: str) -> list[str]:
    # Where a name may break is not what is looked for here.
    return re.findall(r'<th scope="row"><span[^>]*>([^<]+)</span>', html.replace("<wbr>", ""))


def test_the_page_shows_filters_and_marks(three: None, client_of_ana: Client) -> None:
    apply("0002_run_increment")
    html = client_of_ana.get(PAGE + "?app=testapp").content.decode()
    assert names(html) == ["testapp.0001_initial", "testapp.0002_run_increment", "testapp.0003_drop_label"]
    assert "May lose data" in html
    assert "drops the column and what is in it" in html
    assert f'<a href="{address("change")}">{INCREMENT}</a>' in html
    assert "was it faked" in html
    assert "RunPython &lt;lambda&gt;" in html
    for query, left in {
        "show=unapplied": ["testapp.0003_drop_label"],
        "show=destructive": ["testapp.0003_drop_label"],
        "show=data": ["testapp.0001_initial", "testapp.0002_run_increment"],
        "show=odd": ["testapp.0002_run_increment"],
        "q=INCREMENT_items": ["testapp.0002_run_increment"],
        "q=remove+amount": ["testapp.0003_drop_label"],
    }.items():
        html = client_of_ana.get(f"{PAGE}?app=testapp&{query}").content.decode()
        assert names(html) == left, query
    assert 'href="?q=remove+amount&amp;app=testapp&amp;show=destructive"' in html


def test_of_many_a_page_is_shown_with_the_way_to_the_others(
    client_of_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.views.schema.PER_PAGE", 2)
    html = client_of_ana.get(PAGE).content.decode()
    count = len(schema.read("default").rows)
    assert len(names(html)) == 2
    assert f"{count} schema migrations" in html
    last = (count + 1) // 2
    assert last > 9
    assert f'p={last}"' in html
    assert f'p={last // 2}"' not in html  # left out between the first and the last ones
    assert names(client_of_ana.get(f"{PAGE}?p={last}").content.decode()) != names(html)


def test_none_match_offers_to_clear(three: None, client_of_ana: Client) -> None:
    html = client_of_ana.get(PAGE + "?q=nothing-is-called-so").content.decode()
    assert "None match" in html
    assert "Clear search and filters" in html


def test_every_database_can_be_looked_at_and_no_other(client_of_ana: Client) -> None:
    for alias in connections:
        assert client_of_ana.get(f"{PAGE}?database={alias}").status_code == 200
    assert client_of_ana.get(PAGE + "?database=nowhere").status_code == 404


def test_it_takes_the_permission_to_view_and_only_shows(client_of_ana: Client, viewer: Client) -> None:
    assert viewer.get(PAGE).status_code == 200
    assert client_of_ana.post(PAGE).status_code == 405
    other = Client()
    other.force_login(person("otto", "view_log"))
    assert other.get(PAGE).status_code == 403
    assert PAGE not in other.get("/admin/").content.decode()
    assert f'href="{PAGE}"' in viewer.get("/admin/").content.decode()


def test_the_page_of_a_data_migration_shows_what_runs_it_and_what_it_needs(three: None, client_of_ana: Client) -> None:
    html = client_of_ana.get(address("change")).content.decode()
    link = f'Run by <a href="{PAGE}?database=default&amp;q=testapp.0002_run_increment" dir="ltr">'
    assert re.search(re.escape(link) + r"testapp.0002_run_increment</a> <span[^>]*console-tone-quiet", html)
    apply("0002_run_increment")
    html = client_of_ana.get(address("change")).content.decode()
    assert re.search(re.escape(link) + r"testapp.0002_run_increment</a> <span[^>]*console-tone-good", html)
    html = client_of_ana.get(address("change", "needs_schema_2026_01_05")).content.decode()
    assert re.search(r"Needs <a [^>]+>testapp.9999_future</a> <span[^>]*console-tone-quiet", html)
    assert "Schema migrations</dt>" not in client_of_ana.get(address("change", "verified_2026_01_07")).content.decode()


def test_apps_have_their_counts(three: None, client_of_ana: Client) -> None:
    html = client_of_ana.get(PAGE + "?show=destructive&q=remove").content.decode()
    assert '<option value="testapp">testapp (1)</option>' in html
    assert '<option value="sessions">sessions (0)</option>' in html


def test_apps_have_their_counts_in_the_list_of_data_migrations(client_of_ana: Client, settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.oddapp"]
    registry.reset()
    try:
        html = client_of_ana.get("/admin/console/migration/?q=increment&state=pending").content.decode()
        one = client_of_ana.get("/admin/console/migration/?q=increment&state=pending&app=testapp").content.decode()
    finally:
        registry.reset()
    rows = one.count(' id="row-')
    assert f'<option value="testapp">testapp ({rows})</option>' in html
    assert '<option value="oddapp">oddapp (0)</option>' in html

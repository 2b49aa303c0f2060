"""The health as a page, as JSON and as metrics: who gets it, and what it holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console import health, metrics, presence, spool
from console.health import probe
from tests.console.factories import RunFactory, WorkerFactory
from tests.console.pages import person

pytestmark = pytest.mark.django_db(databases="__all__")

TOKEN = "a-long-token-of-a-monitor-0123456789"
PAGE = "/admin/console/health/"
JSON = "/admin/console/health/health.json"
METRICS = "/admin/console/health/metrics"
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "health.md").read_text()


@pytest.fixture(autouse=True)
def fresh() -> None:
    probe.forget()


@pytest.fixture
def token(settings: Any) -> dict[str, str]:
    """The header of a monitor."""
    settings.CONSOLE = {**settings.CONSOLE, "HEALTH_TOKEN": TOKEN}
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def nurse() -> Client:
    """A browser of somebody who may see the health and nothing else."""
    client = Client()
    client.force_login(person("nora", "view_health"))
    return client


def test_the_addresses_have_names() -> None:
    names = {"changelist": PAGE, "json": JSON, "metrics": METRICS}
    assert {name: reverse(f"admin:console_health_{name}") for name in names} == names


def test_the_page_has_a_row_for_each_check(nurse: Client) -> None:
    WorkerFactory.create(host="<script>alert(1)</script>")
    html = nurse.get(PAGE).content.decode()
    assert re.findall(r'<tr id="check-([a-z]+)">', html) == [check.id for check in health.CHECKS]
    assert "1 worker takes runs." in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, pid" in html
    assert "<script>alert" not in html
    for word in ("Good", "console-tone-good"):
        assert word in html


def test_a_problem_is_said_with_what_to_do(nurse: Client) -> None:
    html = nurse.get(PAGE).content.decode()
    assert "Something is wrong." in html
    assert "No worker was seen for 90 s" in html
    assert "python manage.py qcluster" in html


def test_the_page_comes_while_a_check_fails(nurse: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(presence, "seen", broken)
    response = nurse.get(PAGE)
    assert response.status_code == 200
    assert "ZeroDivisionError: a mistake" in response.content.decode()


def test_it_is_in_the_list_of_apps_for_those_who_may(nurse: Client, viewer: Client) -> None:
    assert PAGE in nurse.get("/admin/").content.decode()
    html = viewer.get("/admin/").content.decode()
    assert PAGE not in html
    assert "/admin/console/run/" in html


@pytest.mark.parametrize("url", [PAGE, JSON, METRICS])
def test_without_the_permission_it_is_403_and_without_a_login_the_login(viewer: Client, url: str) -> None:
    assert viewer.get(url).status_code == 403
    response = Client().get(url, headers={"Accept": "text/html,*/*"})
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("url", [PAGE, JSON, METRICS])
def test_nothing_can_be_posted(nurse: Client, token: dict[str, str], url: str) -> None:
    assert nurse.post(url).status_code == 405
    assert Client().post(url, headers=token).status_code in (405, 302)


def test_there_is_nothing_to_add_or_change(nurse: Client) -> None:
    assert nurse.get(PAGE + "add/").status_code in (302, 404)
    admin: Any = site._registry[health_model()]
    request: Any = nurse.get(PAGE).wsgi_request
    assert not admin.has_add_permission(request)
    assert not admin.has_change_permission(request)


def health_model() -> Any:
    from console.models import Health

    return Health


# JSON


def test_the_json_twin_has_what_the_page_has(nurse: Client) -> None:
    WorkerFactory.create()
    response = nurse.get(JSON)
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    found = response.json()
    assert [check["id"] for check in found["checks"]] == [check.id for check in health.CHECKS]
    (workers,) = [check for check in found["checks"] if check["id"] == "workers"]
    assert workers["values"]["seen"] == 1


def test_bad_is_503_and_a_warning_is_200(nurse: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    response = nurse.get(JSON)
    assert (response.status_code, response.json()["state"]) == (503, "bad")
    WorkerFactory.create(draining=True)
    monkeypatch.setattr(health, "CHECKS", [check for check in health.CHECKS if check.id == "workers"])
    response = nurse.get(JSON)
    assert (response.status_code, response.json()["state"]) == (200, "warning")


def test_every_field_is_documented(nurse: Client) -> None:
    found = nurse.get(JSON).json()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \|$", DOCUMENTED, re.MULTILINE)
    fields = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {*found, *found["checks"][0]} <= fields
    block = re.search(r"```json\n(.*?)```", DOCUMENTED, re.DOTALL)
    assert block
    example = json.loads(block[1])
    assert example.keys() == found.keys()
    assert example["checks"][0].keys() == found["checks"][0].keys()


def test_every_check_is_documented() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| (·?) *\|", DOCUMENTED, re.MULTILINE)
    assert rows == [(check.id, "·" if check.on_list else "") for check in health.CHECKS]


# Monitors


@pytest.mark.parametrize("url", [JSON, METRICS])
def test_a_monitor_with_the_token_needs_no_login(token: dict[str, str], url: str) -> None:
    WorkerFactory.create()
    client = Client()
    response = client.get(url, headers=token)
    assert response.status_code in (200, 503)
    assert TOKEN not in response.content.decode()
    assert not response.cookies


@pytest.mark.parametrize("url", [JSON, METRICS])
@pytest.mark.parametrize(
    "given", ["Bearer wrong", "Bearer ", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ü"]
)
def test_another_token_is_401(token: dict[str, str], url: str, given: str) -> None:
    response = Client().get(url, headers={"Authorization": given})
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("url", [JSON, METRICS])
@pytest.mark.parametrize("given", ["Bearer ", f"Bearer {TOKEN}", "Bearer None"])
@pytest.mark.parametrize("setting", ["", None])
def test_without_a_token_in_the_settings_none_is_taken(settings: Any, url: str, given: str, setting: Any) -> None:
    settings.CONSOLE = {**settings.CONSOLE, "HEALTH_TOKEN": setting}
    assert Client().get(url, headers={"Authorization": given}).status_code == 401


def test_a_program_without_anything_is_401_and_not_led_to_a_page_that_answers_200() -> None:
    assert Client().get(JSON, headers={"Accept": "*/*"}, follow=True).status_code == 401


def test_the_token_opens_nothing_else(token: dict[str, str]) -> None:
    run = RunFactory.create()
    for url in (PAGE, "/admin/console/migration/", f"/admin/console/run/{run.pk}/log/"):
        assert Client().get(url, headers=token).status_code == 302, url


def test_the_token_is_compared_in_constant_time(token: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    monkeypatch.setattr("console.views.health.constant_time_compare", lambda *pair: compared.append(pair))
    assert Client().get(JSON, headers=token).status_code == 401
    assert compared == [(TOKEN, TOKEN)]


def test_a_site_that_asks_for_a_login_everywhere_lets_the_token_in(token: dict[str, str], settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert Client().get(JSON, headers=token).status_code in (200, 503)
    assert Client().get(JSON).status_code == 401


def test_with_the_token_no_session_is_asked_for(token: dict[str, str]) -> None:
    client = Client()
    client.cookies["sessionid"] = "x" * 32
    queries = []
    for alias in connections:
        with CaptureQueriesContext(connections[alias]) as captured:
            client.get(JSON, headers=token)
        queries += [each["sql"] for each in captured if "session" in each["sql"]]
    assert queries == []


def test_passwords_of_the_settings_are_not_in_it(
    token: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections[spool.alias()].settings_dict, "PASSWORD", "opensesame")

    def broken() -> None:
        raise RuntimeError(f"opensesame {settings.SECRET_KEY} {TOKEN}")

    monkeypatch.setattr(presence, "seen", broken)
    for url in (JSON, METRICS):
        text = Client().get(url, headers=token).content.decode()
        for secret in ("opensesame", settings.SECRET_KEY, TOKEN):
            assert secret not in text


# Metrics


def test_metrics_without_the_library_say_what_to_install(
    token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    response = Client().get(METRICS, headers=token)
    assert response.status_code == 501
    assert response["Content-Type"].startswith("text/plain")
    assert 'pip install "django-data-migrations-console[prometheus]"' in response.content.decode()


def test_the_library_is_imported_only_when_somebody_asks() -> None:
    assert "prometheus_client" not in vars(metrics)


def test_metrics_come_in_the_format_that_is_asked_for(token: dict[str, str]) -> None:
    plain = Client().get(METRICS, headers=token)
    assert plain["Content-Type"].startswith("text/plain")
    opened = Client().get(METRICS, headers={**token, "Accept": "application/openmetrics-text; version=1.0.0"})
    assert opened["Content-Type"].startswith("application/openmetrics-text")
    assert opened.content.endswith(b"# EOF\n")

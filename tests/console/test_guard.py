"""Whoever follows a log without a stream is not looked up for each question, but every few seconds."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from console import polling
from console.models import Run
from console.views import guard, log
from tests.console.pages import a_run, person, print_lines, run_address

pytestmark = pytest.mark.django_db(databases="__all__")
LONG = 3600.0


@pytest.fixture(autouse=True)
def long_moment(moment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOMENT", LONG)


@pytest.fixture
def run() -> Run:
    run = a_run(status="running", finished_at=None)
    print_lines(run, "one", "two")
    return run


def reader() -> User:
    return person("rita", "view_run", "view_log")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def poll(client: Client, run: Run, **headers: str) -> Any:
    return client.get(run_address(run, "log") + "?after=1", headers=headers)


def pass_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the moment be over."""
    for who in guard._until:
        monkeypatch.setitem(guard._until, who, time.monotonic())


def test_within_the_moment_the_database_is_not_asked_who_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MOMENT", LONG)
    client = client_of(reader())
    first = poll(client, run)
    with CaptureQueriesContext(connections["default"]) as asked:
        again = poll(client, run)
    assert len(asked) == 0
    assert again.json() == first.json()
    assert (again["ETag"], again["Cache-Control"]) == (first["ETag"], first["Cache-Control"])
    assert poll(client, run, **{"If-None-Match": first["ETag"]}).status_code == 304


def test_new_lines_are_seen_within_the_moment(run: Run) -> None:
    client = client_of(reader())
    poll(client, run)
    print_lines(run, "three")
    assert [line[3] for line in poll(client, run).json()["lines"]] == ["two", "three"]


@pytest.mark.parametrize("change", ["permission", "staff", "active", "session"])
def test_whoever_may_no_longer_is_refused_when_the_moment_is_over(
    run: Run, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    user = reader()
    client = client_of(user)
    poll(client, run)
    if change == "permission":
        user.user_permissions.clear()
    elif change == "session":
        client.session.flush()
    else:
        User.objects.filter(pk=user.pk).update(**{f"is_{change}": False})
    assert poll(client, run).status_code == 200, "the moment is not over"
    pass_by(monkeypatch)
    assert poll(client, run).status_code == (403 if change == "permission" else 302)
    assert poll(client, run).status_code != 200, "nobody who was refused is remembered"


def test_nobody_is_let_in_by_what_another_one_may(run: Run) -> None:
    assert poll(client_of(reader()), run).status_code == 200
    assert poll(Client(), run).status_code == 302
    assert poll(client_of(person("lea", "view_run")), run).status_code == 403


def test_one_address_opens_no_other(run: Run) -> None:
    client = client_of(reader())
    other = a_run()
    poll(client, run)
    User.objects.get(username="rita").user_permissions.clear()
    assert poll(client, other).status_code == 403
    for page in ("log_search", "log_groups", "log_download", "log_stream"):
        assert client.get(run_address(run, page) + "?text=one").status_code == 403


def test_only_a_get_is_answered_without_the_guard(run: Run) -> None:
    client = client_of(reader())
    poll(client, run)
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client, method)(run_address(run, "log")).status_code == 405
    User.objects.get(username="rita").user_permissions.clear()
    assert client.head(run_address(run, "log")).status_code == 403


def test_a_page_that_is_shown_in_its_place_lets_nobody_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a site which asks for a second factor, with a status of 200."""
    client = client_of(reader())

    def asked_first(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse("your second factor")

    view: Callable[..., Any] = guard.remembering(asked_first, log.unguarded_lines)
    request = RequestFactory().get(run_address(run, "log"))
    request.COOKIES = {"sessionid": str(client.session.session_key)}
    for _ in range(2):
        assert view(request, pk=str(run.pk)).content == b"your second factor"
    assert not guard._until


def test_an_error_report_does_not_tell_the_key_of_the_session(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(reader())
    poll(client, run)
    poll(client, run)

    def broken(*args: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(polling, "read", broken)
    with pytest.raises(RuntimeError) as caught:
        poll(client, run)
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_code.co_filename.endswith("views/guard.py")]
    assert frames
    key = str(client.session.session_key)
    assert all(key not in repr(frame.f_locals) for frame in frames)
    assert key not in repr(guard._until)


def test_whom_nobody_asks_for_is_forgotten(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    user = reader()
    for _ in range(3):
        poll(client_of(user), run)
    assert len(guard._until) == 3
    pass_by(monkeypatch)
    poll(client_of(user), run)
    assert len(guard._until) == 1


def known_by_header(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware of a project whose people have no sessions."""

    def middleware(request: Any) -> Any:
        if name := request.headers.get("X-Name"):
            request.user = User.objects.get(username=name)
        if name := request.headers.get("X-Login"):
            login(request, User.objects.get(username=name))
        return get_response(request)

    return middleware


def test_whoever_is_known_by_something_else_than_a_session_is_asked_each_time(run: Run, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.known_by_header"]
    reader()
    assert poll(Client(), run, **{"X-Name": "rita"}).status_code == 200
    assert poll(Client(), run).status_code == 302
    # Neither by a cookie that came along: one that is made up, or that of another's session.
    ben = client_of(person("ben"))
    for cookie in ("made up", str(ben.session.session_key)):
        client = Client()
        client.cookies["sessionid"] = cookie
        assert poll(client, run, **{"X-Name": "rita"}).status_code == 200
        assert poll(client, run).status_code != 200
        # Whoever is logged in on the way has another session from then on.
        assert poll(client, run, **{"X-Login": "rita"}).status_code == 200
        client.cookies["sessionid"] = cookie
        assert poll(client, run).status_code != 200


def test_each_session_is_looked_up_again_within_the_moment_and_not_all_at_once(run: Run) -> None:
    user = reader()
    for _ in range(4):
        poll(client_of(user), run)
    left = [until - time.monotonic() for until in guard._until.values()]
    assert all(LONG / 2 - 60 < seconds <= LONG for seconds in left)
    assert max(left) - min(left) > 1

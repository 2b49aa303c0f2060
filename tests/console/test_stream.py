"""The log as a stream: nothing lost or doubled, one tailer for all, permissions kept, an end that is the end."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.db.utils import OperationalError
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from console import following, logs, spool, tail
from console.admin import RunAdmin
from console.models import LogChunk, Run
from console.views import stream
from tests.console.pages import a_run, print_lines, run_address
from tests.console.servers import UVICORN, WSGI, serving
from tests.viewers import Connection, Proxy, Refused, Viewer, events

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.slow]


@pytest.fixture
def run(db: None) -> Run:
    run = a_run(status="running", finished_at=None)
    print_lines(run, *texts(1, 10))
    return run


def texts(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last + 1)]


def end(run: Run, status: str = "succeeded") -> None:
    Run.objects.filter(pk=run.pk).update(status=status)


async def elsewhere(action: Callable[..., Any], *arguments: Any) -> Any:
    """Do something with the database as another process would."""

    def alone() -> Any:
        try:
            return action(*arguments)
        finally:
            connections.close_all()

    return await asyncio.to_thread(alone)


def together(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in an event loop of its own; what hangs fails."""

    async def whole() -> Any:
        try:
            return await asyncio.wait_for(coroutine, 60)
        finally:
            await sync_to_async(connections.close_all)()
            # What was let go closes in the next turns of the loop.
            await asyncio.sleep(0.05)

    return asyncio.run(whole())


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


def follow(run: Run, after: int = 0, **options: Any) -> AsyncGenerator[bytes, None]:
    return following.follow(run.pk, after, stream.encode, **options)


def page_in(data: bytes) -> Any:
    """What an event holds; None for a comment."""
    line = next((line for line in data.decode().splitlines() if line.startswith("data: ")), None)
    return json.loads(line[6:]) if line else None


async def pages_of(feed: AsyncGenerator[bytes, None], least: int = 0) -> list[Any]:
    """The pages of its events: until it ends, or until so many lines came."""
    found: list[Any] = []
    async for data in feed:
        if page := page_in(data):
            found.append(page)
        if least and len(numbers(found)) >= least:
            await feed.aclose()
            break
    return found


def numbers(pages: list[Any]) -> list[int]:
    return [line[0] for page in pages for line in page["lines"]]


def tail_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("console tail")]


def test_lines_arrive_as_they_come_and_over_is_said_after_the_last(run: Run):
    async def act() -> list[Any]:
        reading = asyncio.create_task(pages_of(follow(run, 4)))
        await until(lambda: tail.desk().tailers)
        for number in range(11, 16):
            await elsewhere(print_lines, run, f"line {number}")
        await elsewhere(print_lines, run, *texts(16, 30))
        await elsewhere(end, run)
        return await reading

    pages = together(act())
    assert numbers(pages) == list(range(5, 31))
    assert [line[3] for page in pages for line in page["lines"]] == texts(5, 30)
    assert [page["over"] for page in pages] == [False] * (len(pages) - 1) + [True]
    assert (pages[-1]["lines"], pages[-1]["last"], pages[-1]["status"]) == ([], 30, "succeeded")


def test_the_id_of_an_event_is_the_number_of_its_last_line(run: Run):
    page = logs.read(run, after=3, limit=4)
    assert stream.encode(page, False).startswith(b"id: 7\ndata: {")
    assert stream.encode(logs.read(run, after=10), False).startswith(b"data: {")


def test_over_is_not_said_before_the_last_line_was_sent(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "EVENT_LINES", 3)
    end(run)
    pages = together(pages_of(follow(run, 1)))
    assert numbers(pages) == list(range(2, 11))
    assert [page["over"] for page in pages] == [False] * 3 + [True]


def test_an_event_holds_no_more_than_its_bytes(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "EVENT_BYTES", 20)
    end(run)
    pages = together(pages_of(follow(run)))
    assert numbers(pages) == list(range(1, 11))
    assert max(len(page["lines"]) for page in pages) == 4


def test_one_who_is_far_behind_is_brought_up_from_the_database(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "NEAR_LINES", 3)
    monkeypatch.setattr(tail, "EVENT_LINES", 4)

    async def act() -> list[Any]:
        near, far = asyncio.create_task(pages_of(follow(run, 8))), asyncio.create_task(pages_of(follow(run, 0)))
        await until(lambda: tail.desk().readers == 2)
        await elsewhere(print_lines, run, *texts(11, 13))
        await elsewhere(end, run)
        return [await near, await far]

    near, far = together(act())
    assert numbers(near) == list(range(9, 14))
    assert numbers(far) == list(range(1, 14))


def test_lines_that_were_pruned_meanwhile_hold_nobody_up(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "NEAR_LINES", 3)
    LogChunk.objects.all().delete()
    end(run)
    pages = together(pages_of(follow(run)))
    assert pages[-1]["over"] is True


def test_all_readers_of_a_run_share_one_tailer(run: Run, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    monkeypatch.setattr(tail, "read", lambda pk, after, read=tail.read: (asked.append(after), read(pk, after))[1])

    async def act(readers: int) -> int:
        asked.clear()
        reading = [asyncio.create_task(pages_of(follow(run, 10), 1)) for _ in range(readers)]
        await until(lambda: tail.desk().readers == readers and len(asked) >= 3)
        assert len(tail.desk().tailers) == 1
        assert len(tail_threads()) == 1
        before = len(asked)
        await elsewhere(print_lines, run, "one more")
        for each in await asyncio.gather(*reading):
            assert len(numbers(each)) == 1
        return len(asked) - before

    assert together(act(1)) <= 3
    Run.objects.filter(pk=run.pk).update(log_next=11)
    LogChunk.objects.filter(first__gt=10).delete()
    # Not one question more than for one reader.
    assert together(act(40)) <= 3


def test_a_look_that_finds_nothing_is_one_query(run: Run):
    with CaptureQueriesContext(connections[spool.alias()]) as queries:
        assert tail.read(run.pk, 10).lines == []
    assert len(queries) == 1


def test_the_tailer_ends_with_its_last_reader(run: Run):
    async def act() -> None:
        feeds = [follow(run, 5), follow(run, 5)]
        for feed in feeds:
            while page_in(await anext(feed)) is None:
                pass
        desk = tail.desk()
        assert desk.readers == 2
        await feeds[0].aclose()
        assert len(desk.tailers) == 1
        await feeds[1].aclose()
        assert (desk.readers, desk.tailers) == (0, {})
        await until(lambda: not tail_threads())

    together(act())


def test_the_connections_of_the_thread_are_closed(run: Run, monkeypatch: pytest.MonkeyPatch):
    used: list[Any] = []

    def remember(pk: int, after: int, read: Callable[..., Any] = tail.read) -> Any:
        page = read(pk, after)
        used.append(connections[spool.alias()])
        return page

    monkeypatch.setattr(tail, "read", remember)

    async def act() -> None:
        await pages_of(follow(run, 5), 5)
        await until(lambda: not tail_threads())

    together(act())
    assert used
    assert all(connection.connection is None for connection in used)


def test_a_slow_reader_is_cut_off_and_comes_back_by_his_number(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "KEPT_BYTES", 2000)

    async def act() -> tuple[list[Any], list[Any]]:
        slow, quick = follow(run, 10), asyncio.create_task(pages_of(follow(run, 10), 300))
        assert page_in(await anext(slow)) is None
        first = [page_in(await anext(slow))]
        for start in range(11, 311, 10):
            await elsewhere(print_lines, run, *texts(start, start + 9))
            await until(lambda last=start + 9: next(iter(tail.desk().tailers.values())).head.last >= last)
        assert numbers(await quick) == list(range(11, 311))
        first += await pages_of(slow)
        await elsewhere(end, run)
        return first, await pages_of(follow(run, max([10, *numbers(first)])))

    first, second = together(act())
    assert not first[-1]["over"]
    assert numbers(first + second) == list(range(11, 311))
    assert second[-1]["over"]


def test_one_who_only_counts_gets_no_lines(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "COUNT_SECONDS", 0.01)

    async def act() -> list[Any]:
        reading = asyncio.create_task(pages_of(follow(run, counts_only=True)))
        await until(lambda: tail.desk().tailers and next(iter(tail.desk().tailers.values())).head)
        await elsewhere(print_lines, run, *texts(11, 500))
        await elsewhere(end, run)
        return await reading

    pages = together(act())
    assert numbers(pages) == []
    assert (pages[0]["last"], pages[-1]["last"], pages[-1]["over"]) == (10, 500, True)


def test_a_quiet_stream_gives_signs_of_life(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "BEAT_SECONDS", 0.05)

    async def act() -> list[bytes]:
        feed = follow(run, 10)
        found = [await anext(feed)]
        # A database that takes its time lets a sign of life come first.
        while found[-1].startswith(b":"):
            found.append(await anext(feed))
        found += [await anext(feed) for _ in range(2)]
        await feed.aclose()
        return found

    opening, *_, about, first, second = together(act())
    assert opening == b": open\n\n"
    assert page_in(about)["last"] == 10
    assert (first, second) == (b": still here\n\n",) * 2


@pytest.mark.parametrize("counts_only", [False, True])
def test_the_permission_is_asked_for_again_and_its_loss_ends_the_stream(run: Run, counts_only: bool):
    answers = [True, True, False]

    async def act() -> None:
        async for _ in follow(run, 10, counts_only=counts_only, may_go_on=lambda: answers.pop(0), check_seconds=0.05):
            pass

    together(act())
    assert answers == []


def test_a_database_that_fails_ends_the_streams_and_leaves_nothing_behind(run: Run, monkeypatch: pytest.MonkeyPatch):
    looks = []

    def fail(pk: int, after: int, read: Callable[..., Any] = tail.read) -> Any:
        looks.append(after)
        if len(looks) > 2:
            raise OperationalError("gone away")
        return read(pk, after)

    monkeypatch.setattr(tail, "read", fail)

    async def act() -> list[Any]:
        pages = await pages_of(follow(run, 9))
        assert tail.desk().tailers == {}
        return pages

    pages = together(act())
    assert numbers(pages) == [10]
    assert not pages[-1]["over"]


def test_the_log_of_a_run_that_is_gone_ends(run: Run):
    async def act() -> None:
        reading = asyncio.create_task(pages_of(follow(run, 10)))
        await until(lambda: tail.desk().tailers)
        await elsewhere(Run.objects.filter(pk=run.pk).delete)
        await reading

    together(act())


def test_a_run_that_goes_while_a_reader_is_brought_up_ends_his_stream(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "EVENT_LINES", 2)
    monkeypatch.setattr(tail, "NEAR_LINES", 0)
    pages: list[Any] = []

    async def act() -> None:
        async for data in follow(run, 0):
            if page := page_in(data):
                pages.append(page)
                await elsewhere(Run.objects.filter(pk=run.pk).delete)
        assert tail.desk().tailers == {}

    together(act())
    assert numbers(pages) == [1, 2]


def test_a_database_that_fails_while_a_reader_is_brought_up_ends_his_stream(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail, "EVENT_LINES", 2)
    monkeypatch.setattr(tail, "NEAR_LINES", 0)

    def fail(pk: int, after: int, read: Callable[..., Any] = tail.read) -> Any:
        if 2 <= after < 10:
            raise OperationalError("gone away")
        return read(pk, after)

    monkeypatch.setattr(tail, "read", fail)

    async def act() -> list[Any]:
        pages = await pages_of(follow(run, 0))
        assert tail.desk().tailers == {}
        return pages

    assert numbers(together(act())) == [1, 2]


def test_a_permission_that_cannot_be_asked_for_ends_the_stream_and_its_connection(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    closed: list[str] = []
    close_all = connections.close_all

    def close() -> None:
        closed.append(threading.current_thread().name)
        close_all()

    def fail() -> bool:
        # At its end the desk closes everything; before that is what counts.
        monkeypatch.setattr(connections, "close_all", close)
        raise OperationalError("gone away")

    async def act() -> list[Any]:
        other = follow(run, 10)
        await anext(other)
        waiting = asyncio.ensure_future(anext(other))
        await until(lambda: tail.desk().tailers)
        pages = await pages_of(follow(run, 10, may_go_on=fail, check_seconds=0))
        assert [name for name in closed if name.startswith("console tail")]
        waiting.cancel()
        await asyncio.wait([waiting])
        await other.aclose()
        return pages

    assert numbers(together(act())) == []


# The address.


def get(client: Client | AsyncClient, run: Run, query: str = "", **headers: str) -> Any:
    return client.get(run_address(run, "log_stream") + query, headers=headers)


async def body(response: Any) -> bytes:
    return b"".join([piece async for piece in response])


@pytest.mark.parametrize("middleware", [[], ["django.middleware.gzip.GZipMiddleware"]])
def test_under_asgi_it_is_a_stream_that_nothing_may_keep_back(
    client_of_ana: Client, run: Run, settings: Any, middleware: list[str]
):
    settings.MIDDLEWARE = [*middleware, *settings.MIDDLEWARE]
    end(run)
    client = AsyncClient()
    client.cookies = client_of_ana.cookies

    async def act() -> tuple[Any, bytes]:
        response = await get(client, run, "?after=8", **{"Accept-Encoding": "gzip"})
        return response, await body(response)

    response, sent = together(act())
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/event-stream")
    assert response["X-Accel-Buffering"] == "no"
    assert "no-cache" in response["Cache-Control"]
    assert "no-transform" in response["Cache-Control"]
    assert not response.has_header("Content-Encoding")
    first, *others = sent.decode().split("\n\n")
    assert first == ": open"
    assert others[0].startswith("id: 10\ndata: {")
    assert json.loads(others[1].removeprefix("data: "))["over"] is True


def test_last_event_id_counts_more_than_the_address(client_of_ana: Client, run: Run):
    end(run)
    client = AsyncClient()
    client.cookies = client_of_ana.cookies

    async def act() -> bytes:
        return await body(await get(client, run, "?after=2", **{"Last-Event-ID": "9"}))

    sent = together(act())
    assert [number for event in sent.split(b"\n\n") for number in numbers([page_in(event) or {"lines": []}])] == [10]


def test_under_wsgi_the_answer_is_empty_and_at_once(client_of_ana: Client, run: Run):
    response = get(client_of_ana, run)
    assert response.status_code == 204
    assert response.content == b""


def test_a_head_request_does_not_wait_for_the_log(client_of_ana: Client, run: Run):
    client = AsyncClient()
    client.cookies = client_of_ana.cookies
    response = together(client.head(run_address(run, "log_stream")))
    assert response.status_code == 200
    assert not response.streaming


def test_who_may_not_read_gets_no_stream(viewer: Client, run: Run):
    assert get(viewer, run).status_code == 403
    assert get(Client(), run).status_code == 302
    assert viewer.post(run_address(run, "log_stream")).status_code == 405


def test_nonsense_is_a_400_and_no_run_a_404(client_of_ana: Client, run: Run):
    assert get(client_of_ana, run, "?after=x").status_code == 400
    assert get(client_of_ana, run, **{"Last-Event-ID": "-1"}).status_code == 400
    run.pk = 10**9
    assert get(client_of_ana, run).status_code == 404


# Whether one may go on.


@pytest.fixture
def reading(client_of_ana: Client, ana: User) -> Any:
    """A request of ana's."""
    request = RequestFactory().get("/")
    request.user = ana
    request.session = SessionStore(client_of_ana.session.session_key)
    return request


def may_go_on(request: Any) -> bool:
    from django.contrib import admin

    return stream.still_may_read(RunAdmin(Run, admin.site), request)


def test_with_session_and_permission_one_may_go_on(reading: Any):
    assert may_go_on(reading)


@pytest.mark.parametrize("what", ["logged out", "password", "inactive", "no staff", "view_log", "view_run", "deleted"])
def test_without_them_not(reading: Any, client_of_ana: Client, ana: User, what: str):
    assert may_go_on(reading)
    if what == "logged out":
        client_of_ana.logout()
    elif what == "password":
        ana.set_password("another")
        ana.save()
    elif what == "inactive":
        User.objects.filter(pk=ana.pk).update(is_active=False)
    elif what == "no staff":
        User.objects.filter(pk=ana.pk).update(is_staff=False)
    elif what == "deleted":
        User.objects.all().delete()
    else:
        ana.user_permissions.remove(ana.user_permissions.get(codename=what))
    assert not may_go_on(reading)


def test_one_known_without_a_session_is_looked_up(reading: Any, ana: User):
    reading.session = {}
    assert may_go_on(reading)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    assert not may_go_on(reading)


# A server in a process of its own.


def session_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def test_many_breaks_lose_and_double_nothing(client_of_ana: Client, run: Run, tmp_path: Path):
    async def act(port: int) -> None:
        proxy = Proxy(port)
        await proxy.start()
        place = (proxy.port, session_of(client_of_ana), run_address(run, "log"))
        viewers = [Viewer(*place, pause=0.01) for _ in range(5)]
        watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
        said = 10
        while proxy.broken < 50:
            await elsewhere(print_lines, run, *texts(said + 1, said + 7))
            said += 7
            await asyncio.sleep(0.1)
            proxy.break_all()
        await elsewhere(print_lines, run, "the last")
        await elsewhere(end, run)
        await asyncio.gather(*watching)
        await proxy.stop()
        for viewer in viewers:
            assert viewer.texts == [*texts(1, said), "the last"]
        assert sum(viewer.breaks for viewer in viewers) >= 20

    with serving(tmp_path) as server:
        together(act(server.port))


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(
    client_of_ana: Client, run: Run, tmp_path: Path
):
    async def act(port: int, servers: Any) -> None:
        viewer = Viewer(port, session_of(client_of_ana), run_address(run, "log"), pause=0.1)
        watching = asyncio.create_task(viewer.watch())
        await until(lambda: viewer.next == 11)
        await asyncio.to_thread(servers[0].kill)
        await elsewhere(print_lines, run, *texts(11, 20))
        with serving(tmp_path, port=port):
            await until(lambda: viewer.next == 21)
            await elsewhere(print_lines, run, *texts(21, 30))
            await elsewhere(end, run)
            await watching
        assert viewer.texts == texts(1, 30)
        assert viewer.breaks >= 1

    with serving(tmp_path) as server:
        together(act(server.port, [server.process]))


def test_a_server_that_is_asked_to_stop_ends_its_streams(client_of_ana: Client, run: Run, tmp_path: Path):
    async def act(server: Any) -> None:
        opened = [Connection(server.port, session_of(client_of_ana)) for _ in range(5)]
        answers = [await each.get(run_address(run, "log_stream")) for each in opened]
        streams = [events(answer) for answer in answers]
        for each in streams:
            while (await anext(each))[1] is None:
                pass
        status = await asyncio.to_thread(server.stop)
        for each in streams:
            # In order, not broken: the last chunk is there.
            assert [page async for _, page in each if page and page["over"]] == []
        for connection in opened:
            connection.close()
        assert status in (0, -15), server.log.read_text()

    with serving(tmp_path) as server:
        together(act(server))
        assert server.log.read_text() == ""


def test_a_reader_who_takes_nothing_holds_up_a_server_no_longer_than_it_may_wait(
    client_of_ana: Client, run: Run, tmp_path: Path
):
    for _ in range(10):
        # MariaDB takes no statement above 16 MiB.
        print_lines(run, *["x" * 4000] * 500)
    request = (
        f"GET {run_address(run, 'log_stream')}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Cookie: sessionid={session_of(client_of_ana)}\r\n\r\n"
    )
    with serving(tmp_path, (*UVICORN, "--timeout-graceful-shutdown", "1")) as server, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", server.port))
        reader.sendall(request.encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        time.sleep(1)
        assert server.stop() is not None


def test_a_permission_taken_away_ends_the_open_stream(client_of_ana: Client, ana: User, run: Run, tmp_path: Path):
    def take_away() -> None:
        ana.user_permissions.remove(ana.user_permissions.get(codename="view_log"))

    async def act(port: int) -> None:
        connection = Connection(port, session_of(client_of_ana))
        answer = await connection.get(run_address(run, "log_stream"))
        feed = events(answer)
        while (await anext(feed))[1] is None:
            pass
        await elsewhere(take_away)
        async for _ in feed:
            pass
        connection.close()
        with pytest.raises(Refused, match="403"):
            await Viewer(port, session_of(client_of_ana), run_address(run, "log")).watch()

    with serving(tmp_path, env={"STREAM_CHECK_SECONDS": "0.3"}) as server:
        together(act(server.port))


def test_readers_who_go_are_noticed(client_of_ana: Client, run: Run):
    import uvicorn

    from tests.console.hasty_asgi import application

    async def act() -> None:
        server = uvicorn.Server(uvicorn.Config(application, port=0, lifespan="off", log_level="warning"))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        opened = [Connection(port, session_of(client_of_ana)) for _ in range(4)]
        for each in opened:
            await each.get(run_address(run, "log_stream"))
        desk = tail.desk()
        await until(lambda: desk.readers == 4)
        for each in opened[:3]:
            each.close()
        await until(lambda: desk.readers == 1)
        assert len(desk.tailers) == 1
        opened[3].close()
        await until(lambda: desk.readers == 0)
        await until(lambda: not tail_threads())
        server.should_exit = True
        await serving

    together(act())


def test_the_page_polls_under_wsgi(client_of_ana: Client, run: Run, tmp_path: Path):
    async def act(port: int) -> Viewer:
        streaming = Viewer(port, session_of(client_of_ana), run_address(run, "log"))
        with pytest.raises(Refused, match="204"):
            await streaming.watch()
        polling = Viewer(port, session_of(client_of_ana), run_address(run, "log"), streams=False)
        watching = asyncio.create_task(polling.watch())
        await until(lambda: polling.next == 11)
        await elsewhere(print_lines, run, *texts(11, 13))
        await elsewhere(end, run)
        await watching
        return polling

    with serving(tmp_path, WSGI) as server:
        assert together(act(server.port)).texts == texts(1, 13)

"""People who watch a log, as far as the server is concerned: what the page's scripts ask, without a page.

And what may stand between them and the server: a proxy whose connections break.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


class Refused(Exception):
    """The server answered with something else than what was asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The server answered {status}.")
        self.status = status


class Broken(Exception):
    """The connection broke, or the answer ended before its end."""


@dataclass
class Answer:
    """The head of an answer, and where its body comes from."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken when the connection breaks before its end."""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline() or b"-1", 16):
                    if size < 0:
                        raise Broken
                    piece = await self.reader.readexactly(size + 2)
                    yield piece[:-2]
                await self.reader.readline()
            elif length := int(self.headers.get("content-length", 0)):
                yield await self.reader.readexactly(length)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise Broken from error

    async def body(self) -> bytes:
        """The whole of it."""
        return b"".join([piece async for piece in self.pieces()])


class Connection:
    """A kept-alive connection to a server, opened when it is needed."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port = port
        self.cookie = cookie
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask. Raises Broken."""
        try:
            if self._pair is None:
                self._pair = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
            reader, writer = self._pair
            lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: sessionid={self.cookie}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await writer.drain()
            status = await reader.readline()
            if not status:
                raise Broken
            found: dict[str, str] = {}
            while (line := (await reader.readline()).decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                found[name.lower()] = value.strip()
            return Answer(int(status.split()[1]), found, reader)
        except (OSError, IndexError, ValueError) as error:
            raise Broken from error

    def close(self) -> None:
        """Let it go."""
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None


async def events(answer: Answer) -> AsyncIterator[tuple[int | None, Any]]:
    """Id and data of each server-sent event; (None, None) for a comment."""
    rest = b""
    async for piece in answer.pieces():
        *whole, rest = (rest + piece).split(b"\n\n")
        for event in whole:
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if not line.startswith(b":"))
            number = int(fields[b"id"]) if b"id" in fields else None
            yield (number, json.loads(fields[b"data"])) if fields else (None, None)


@dataclass
class Viewer:
    """One who watches the log of a run from its first line.

    Args:
        port: of the server, or of the proxy before it.
        cookie: his session.
        path: where pages of the log are asked for.
        streams: as a stream; else by polling.
        on_lines: called with the lines that were applied, each once.
        pause: the first pause after a break, in seconds.
    """

    port: int
    cookie: str
    path: str
    streams: bool = True
    on_lines: Callable[[list[Any]], None] = lambda lines: None
    pause: float = 0.5
    next: int = 1
    texts: list[str] = field(default_factory=list)
    keeps_texts: bool = True
    dropped: int = 0
    gaps: int = 0
    breaks: int = 0
    asked: int = 0
    status: str = ""
    over: bool = False

    async def watch(self) -> None:
        """Until the log has ended."""
        connection = Connection(self.port, self.cookie)
        pause = self.pause
        try:
            while not self.over:
                before = self.next
                try:
                    if not self.streams:
                        await self._poll(connection)
                    elif self.breaks:
                        # As the page does before it streams again.
                        await self._poll(connection, once=True)
                    if not self.over:
                        await self._stream(connection)
                except Broken:
                    self.breaks += 1
                # Also one that ended in order begins anew.
                connection.close()
                pause = self.pause if self.next > before else min(pause * 2, self.pause * 20)
                if not self.over:
                    await asyncio.sleep(pause * random.uniform(0.75, 1.25))
        finally:
            connection.close()

    async def _stream(self, connection: Connection) -> None:
        answer = await connection.get(f"{self.path}stream/?after={self.next - 1}")
        self.asked += 1
        if answer.status != 200:
            raise Refused(answer.status)
        async for _, page in events(answer):
            if page is not None and not self._apply(page):
                self.gaps += 1
                return
            if self.over:
                return

    async def _poll(self, connection: Connection, *, once: bool = False) -> None:
        delay, tag, tagged = 0.25, "", -1
        while not self.over:
            known = {"If_None_Match": tag} if tagged == self.next else {}
            began = time.monotonic()
            answer = await connection.get(f"{self.path}?after={self.next - 1}&limit=500", **known)
            self.asked += 1
            if answer.status not in (200, 304):
                raise Refused(answer.status)
            body = await answer.body()
            took = time.monotonic() - began
            news = False
            if answer.status == 200:
                before = self.next
                page = json.loads(body)
                self._apply(page, page["last"])
                news = self.next > before
                tag, tagged = (answer.headers.get("etag", ""), self.next) if not page["lines"] else ("", -1)
                if news and self.next <= page["last"]:
                    continue
            if once:
                return
            delay = min(max(0.25 if news else delay * 2, 2 * took), 5)
            if not self.over:
                await asyncio.sleep(delay)

    def _apply(self, page: dict[str, Any], last: int = 0) -> bool:
        """Take what is next; False when lines are missing in between."""
        fresh, whole = [], True
        for line in page["lines"]:
            through = line[4] if len(line) > 4 else line[0]
            if through < self.next:
                self.dropped += 1
            elif line[0] > self.next:
                whole = False
                break
            else:
                fresh.append(line)
                self.next = through + 1
        if fresh:
            if self.keeps_texts:
                self.texts += [line[3] for line in fresh]
            self.on_lines(fresh)
        self.status = page["status"]
        self.over = page["over"] and self.next > page["last"]
        return whole


class Proxy:
    """Passes bytes on between those who connect to ``port`` and a server; its connections can be broken."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.broken = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a port of its own."""
        self.loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def passes(self, asked: bytes) -> bool:
        """Whether the answer to what was asked is passed on."""
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        held = False

        async def go() -> None:
            nonlocal held
            while piece := await reader.read(65536):
                held = not self.passes(piece)
                back.write(piece)
                await back.drain()

        async def come() -> None:
            while piece := await there.read(65536):
                if not held:
                    writer.write(piece)
                    await writer.drain()

        ways = [asyncio.create_task(go()), asyncio.create_task(come())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(writer)
            writer.transport.abort()
            back.transport.abort()

    def break_all(self) -> int:
        """Break every connection, wherever in an event it is. Gives how many there were."""
        broken = list(self._open)
        for writer in broken:
            writer.transport.abort()
        self.broken += len(broken)
        return len(broken)

    async def stop(self) -> None:
        """Break all and listen no more."""
        if self._server is not None:
            self._server.close()
        self.break_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The transports close in the next turn of the loop.
        await asyncio.sleep(0.05)

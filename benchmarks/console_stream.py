"""How the log gets from ``print`` to the screen: latency, throughput, broken connections, many readers.

``python -m benchmarks.console_stream [--quick] [--only latency,load,breaks,readers]``

The runnable site's web server (uvicorn) and the runs are processes of their own, on SQLite files or on the database
that ``DATABASE_URL`` names. Viewers are clients that ask what the page asks; one of them is a real Chromium where there
is one, and there a line counts when it is in a frame that was painted. All clocks are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from tests.browser.site import ARGUMENTS, ROOT, chromium
from tests.console.servers import Server, serving
from tests.viewers import Proxy, Viewer

ASGI = (
    "-m", "uvicorn", "console.site.asgi:application", "--lifespan", "off", "--log-level", "warning", "--port", "{port}",
)  # fmt: skip
# One process, as there.
WSGI = (
    "-m", "gunicorn", "console.site.wsgi", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "30",
    "--log-level", "warning", "--bind", "127.0.0.1:{port}",
)  # fmt: skip
# Tells of each line when it was painted.
OBSERVER = r"""() => {
  window.seen = [];
  const look = () => {
    const fresh = [];
    for (const line of document.querySelectorAll(".console-line:not([data-seen])")) {
      line.dataset.seen = "1";
      const found = /^(\d+) (\d+\.\d+) x/.exec(line.querySelector(".console-line-text").textContent);
      if (found) fresh.push([Number(found[1]), Number(found[2])]);
    }
    if (fresh.length) requestAnimationFrame(() => setTimeout(() => {
      const now = Date.now() / 1000;
      fresh.forEach(([number, printed]) => window.seen.push([number, now - printed]));
    }));
  };
  new MutationObserver(look).observe(document.querySelector("[data-log-lines]"), { childList: true, subtree: true });
}"""
# Each viewer is somebody else, as far as there are so many.
PEOPLE = 101
PRINTED = re.compile(r"(\d+) (\d+\.\d+) x")


class Bench:
    """The scratch site, and what is done with it."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.env = {"DJANGO_SETTINGS_MODULE": "benchmarks.stream_settings", "DATA_DIR": str(folder)}
        self.cookie = ""
        self.cookies: Iterator[str] = iter(())

    def prepare(self) -> None:
        """Tables, people who may read logs, and the session of each."""
        os.environ.update(self.env)
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connections

        for alias in sorted(settings.DATABASES, key=lambda alias: alias == "default"):
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.auth.models import Permission, User
        from django.contrib.sessions.backends.db import SessionStore

        keys = []
        for number in range(PEOPLE):
            user = User.objects.create_user(f"reader-{number}", is_staff=True)
            user.user_permissions.set(Permission.objects.filter(codename__in=["view_run", "view_log"]))
            session = SessionStore()
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.save()
            keys.append(str(session.session_key))
        self.cookie, *others = keys
        self.cookies = cycle(others)
        connections.close_all()

    def printing(self, record: bool = True, **options: Any) -> subprocess.Popen[bytes]:
        """Start a run that prints; what it writes to its terminal is thrown away."""
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return subprocess.Popen(
            [sys.executable, "manage.py", "print_lines", "--force", *arguments],
            cwd=ROOT, env={**os.environ, **self.env, "BENCHMARK_RECORD": str(int(record))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def run(self, **options: Any) -> tuple[int, subprocess.Popen[bytes]]:
        """Start a run that is recorded, and wait until it has its page; its number and its process."""
        before = await asyncio.to_thread(self._newest)
        process = self.printing(**options)
        deadline = time.monotonic() + 60
        while (found := await asyncio.to_thread(self._newest)) == before:
            if process.poll() not in (None, 0) or time.monotonic() > deadline:
                raise RuntimeError(f"The run did not start: {process.stderr.read().decode() if process.stderr else ''}")
            await asyncio.sleep(0.02)
        return found, process

    def _newest(self) -> int:
        from django.db import connections

        from console.models import Run

        try:
            return Run.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        finally:
            connections.close_all()

    def viewer(self, port: int, run: int, **options: Any) -> Viewer:
        """One more who watches that run."""
        return Viewer(port, next(self.cookies), f"/admin/console/run/{run}/log/", **options)

    def server(self, command: tuple[str, ...] = ASGI) -> Any:
        """A web server, as a context manager."""
        return serving(self.folder, command, env=self.env)


async def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a run. Raises RuntimeError when it failed."""
    _, errors = await asyncio.to_thread(process.communicate)
    if process.returncode:
        raise RuntimeError(f"The run ended with status {process.returncode}: {errors.decode()[-2000:]}")


def percentile(values: list[float], share: float) -> float:
    """In seconds; NaN where there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def milliseconds(values: list[float]) -> str:
    """Median and 99th percentile."""
    return f"p50 {percentile(values, 0.5) * 1000:6.0f} ms  p99 {percentile(values, 0.99) * 1000:6.0f} ms"


def complete(viewer: Viewer, count: int) -> str:
    """What is wrong with what somebody saw; empty: nothing."""
    numbers = [int(found[1]) for text in viewer.texts if (found := PRINTED.match(text))]
    if numbers == list(range(1, count + 1)):
        return ""
    missing = len(set(range(1, count + 1)) - set(numbers))
    return f"{missing} lost, {len(numbers) - len(set(numbers))} doubled"


def receiving(latencies: list[float]) -> Callable[[list[Any]], None]:
    """Note of each line how long ago it was printed."""

    def note(lines: list[Any]) -> None:
        now = time.time()
        latencies.extend(now - float(found[2]) for line in lines if (found := PRINTED.match(line[3])))

    return note


@asynccontextmanager
async def browser(bench: Bench, server: Server, streams: bool) -> AsyncIterator[Any]:
    """A page in a Chromium, logged in; None where there is no Chromium."""
    path = chromium()
    if path is None:
        yield None
        return
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = await chrome.new_context()
        await context.add_cookies(
            [{"name": "sessionid", "value": bench.cookie, "url": f"http://127.0.0.1:{server.port}"}]
        )
        page = await context.new_page()
        if not streams:
            await page.route("**/log/stream/*", lambda route: route.fulfill(status=204))
        yield page
        await chrome.close()


async def latency(bench: Bench, server: Server) -> list[str]:
    """From ``print`` to the page, with 1, 10 and 100 viewers: streamed, polled, and polled where it could stream."""
    found = await late(bench, server, "streamed", streams=True)
    with bench.server(WSGI) as wsgi:
        found += await late(bench, wsgi, "polled under WSGI", streams=False)
    return found + await late(bench, server, "polled under ASGI", streams=False)


async def late(bench: Bench, server: Server, title: str, *, streams: bool) -> list[str]:
    """The same for one server and one way; gives what is wrong."""
    found: list[str] = []
    rate, seconds = (20, 2) if bench.quick else (20, 20)
    for count in (5,) if bench.quick else (1, 10, 100):
        async with browser(bench, server, streams) as page:
            run, process = await bench.run(lines=rate * seconds, rate=rate)
            clients: list[float] = []
            visible: list[float] = []
            others = count - (page is not None)
            viewers = [bench.viewer(server.port, run, streams=streams) for _ in range(others)]
            watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
            if page is not None:
                await page.goto(f"http://127.0.0.1:{server.port}/admin/console/run/{run}/change/")
                await page.evaluate(OBSERVER)
            # Only what is printed from now on counts, when everybody is there.
            while any(viewer.next == 1 for viewer in viewers) and not any(task.done() for task in watching):
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            for viewer in viewers:
                viewer.on_lines = receiving(clients)
            first = max((viewer.next for viewer in viewers), default=rate)
            await finish(process)
            await asyncio.wait_for(asyncio.gather(*watching), 60)
            if page is not None:
                await page.wait_for_function(
                    "document.querySelector('[data-log-chip]').textContent === 'Ended'", timeout=60_000
                )
                seen = await page.evaluate("window.seen")
                visible = [seconds_late for number, seconds_late in seen if number >= first]
        wrong = [text for viewer in viewers if (text := complete(viewer, rate * seconds))]
        name = f"{title}, {count}"
        found += wrong
        print(f"  {name:>22} viewers:  on the screen {milliseconds(visible)}   clients {milliseconds(clients)}")
        for text in wrong:
            print(f"    NOT ALL OF IT: {text}")
    return found


async def load(bench: Bench, server: Server) -> list[str]:
    """Five thousand lines a second; and what the log costs the run."""
    rate, seconds = (5000, 2) if bench.quick else (5000, 60)
    report = bench.folder / "report.json"
    run, process = await bench.run(lines=rate * seconds, rate=rate, report=report)
    latencies: list[float] = []
    viewer = bench.viewer(server.port, run, on_lines=receiving(latencies))
    watching = asyncio.create_task(viewer.watch())
    await finish(process)
    paced = json.loads(report.read_text())
    await asyncio.wait_for(watching, 120)
    wrong = complete(viewer, rate * seconds)
    took = f"{rate:,} lines a second for {seconds} s: it took {paced['took']:.1f} s"
    print(f"  {took}; {wrong or 'nothing lost or doubled'}")
    print(f"    a viewer of it: {milliseconds(latencies)}")
    print(f"    longest print {paced['longest'] * 1000:.1f} ms, one in a thousand {paced['p999'] * 1000:.2f} ms")
    # The same work with its log and without, in turns: about as much for each line as leaves 5,000 a second.
    lines, rounds = (5000, 1) if bench.quick else (50_000, 3)
    times: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for number in range(rounds * 2):
        record = number % 2 == 0
        await finish(bench.printing(record, lines=lines, work=130, report=report))
        times[record].append(json.loads(report.read_text()))
    for record, name in ((True, "recorded"), (False, "log thrown away")):
        took, cpu = (sorted(each[key] for each in times[record])[rounds // 2] for key in ("took", "cpu"))
        step = max(each["longest_step"] for each in times[record])
        print(
            f"    {name:>16}: {lines / took:7,.0f} lines/s, {cpu / lines * 1e6:4.0f} µs of processor a line, "
            f"longest line with its work {step * 1000:6.1f} ms"
        )
    for key, name in (("took", "as long"), ("cpu", "the processor time")):
        ratios = [logged[key] / bare[key] for logged, bare in zip(times[True], times[False], strict=True)]
        print(f"    times {name} with the log: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return [wrong] if wrong else []


async def breaks(bench: Bench, server: Server) -> list[str]:
    """Connections broken by force, again and again, while lines come."""
    wanted, readers, rate = (50, 5, 200) if bench.quick else (1000, 25, 500)
    seconds = 6 if bench.quick else 45
    proxy = Proxy(server.port)
    await proxy.start()
    run, process = await bench.run(lines=rate * seconds, rate=rate)
    viewers = [bench.viewer(proxy.port, run, pause=0.05) for _ in range(readers)]
    watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
    while proxy.broken < wanted and not all(task.done() for task in watching):
        await asyncio.sleep(0.15)
        proxy.break_all()
    await finish(process)
    await asyncio.wait_for(asyncio.gather(*watching), 120)
    await proxy.stop()
    wrong = [text for viewer in viewers if (text := complete(viewer, rate * seconds))]
    print(
        f"  {proxy.broken:,} connections broken under {readers} viewers of {rate * seconds:,} lines: "
        f"{'; '.join(wrong) or '0 lost, 0 doubled'} ({sum(viewer.dropped for viewer in viewers):,} came twice)"
    )
    return wrong


async def readers(bench: Bench, server: Server) -> list[str]:
    """Many readers on one process: what share of a core they take."""
    count, seconds = (20, 2) if bench.quick else (500, 20)
    process = psutil.Process(server.process.pid)
    for rate, what in ((1, "a line a second"), (20, "20 lines a second")):
        run, printing = await bench.run(lines=int(rate * (seconds + (5 if bench.quick else 45))), rate=rate)
        viewers = [bench.viewer(server.port, run, keeps_texts=False) for _ in range(count)]
        watching = []
        for number, viewer in enumerate(viewers):
            watching.append(asyncio.create_task(viewer.watch()))
            if number % 10 == 9:
                await asyncio.sleep(0.2)
        while any(viewer.next == 1 for viewer in viewers):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        used, began = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(seconds)
        share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)
        broken = sum(viewer.breaks for viewer in viewers)
        behind = max(viewer.next for viewer in viewers) - min(viewer.next for viewer in viewers)
        memory, threads = process.memory_info().rss / 2**20, process.num_threads()
        print(
            f"  {count} readers, {what}: {share:.2f} of a core, {memory:.0f} MiB, {threads} threads; "
            f"{broken} had to come back, the last is {behind} lines behind the first"
        )
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        printing.terminate()
        await asyncio.to_thread(printing.communicate)
    return []


PARTS = {"latency": latency, "load": load, "breaks": breaks, "readers": readers}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; gives the exit status: 1 when a line was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="half a minute, to see that it works; its numbers mean little"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    options = parser.parse_args(arguments)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.quick)
        bench.prepare()
        from django.conf import settings

        print(f"{settings.DATABASES['default']['ENGINE'].rsplit('.', 1)[-1]}, {os.cpu_count()} cores", flush=True)
        for part in options.only.split(","):
            print(f"{part}: {' '.join((PARTS[part].__doc__ or '').split())}", flush=True)
            # Each part has a server of its own, so that none inherits what another left behind.
            with bench.server() as server:
                wrong += asyncio.run(PARTS[part](bench, server))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

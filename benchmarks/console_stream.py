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
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.console.servers import Server
from tests.viewers import Proxy, Viewer

from .stage import WSGI, Stage, browser, finish

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
PRINTED = re.compile(r"(\d+) (\d+\.\d+) x")


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


async def latency(stage: Stage, server: Server) -> list[str]:
    """From ``print`` to the page, with 1, 10 and 100 viewers: streamed, polled, and polled where it could stream."""
    found = await late(stage, server, "streamed", streams=True)
    with stage.server(WSGI) as wsgi:
        found += await late(stage, wsgi, "polled under WSGI", streams=False)
    return found + await late(stage, server, "polled under ASGI", streams=False)


async def late(stage: Stage, server: Server, title: str, *, streams: bool) -> list[str]:
    """The same for one server and one way; gives what is wrong."""
    found: list[str] = []
    rate, seconds = (20, 2) if stage.quick else (20, 20)
    for count in (5,) if stage.quick else (1, 10, 100):
        async with browser(stage, server, streams) as page:
            run, process = await stage.run(lines=rate * seconds, rate=rate)
            clients: list[float] = []
            visible: list[float] = []
            others = count - (page is not None)
            viewers = [stage.viewer(server.port, run, streams=streams) for _ in range(others)]
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


async def load(stage: Stage, server: Server) -> list[str]:
    """Five thousand lines a second; and what the log costs the run."""
    rate, seconds = (5000, 2) if stage.quick else (5000, 60)
    report = stage.folder / "report.json"
    run, process = await stage.run(lines=rate * seconds, rate=rate, report=report)
    latencies: list[float] = []
    viewer = stage.viewer(server.port, run, on_lines=receiving(latencies))
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
    lines, rounds = (5000, 1) if stage.quick else (50_000, 3)
    times: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for number in range(rounds * 2):
        record = number % 2 == 0
        await finish(stage.printing(record, lines=lines, work=130, report=report))
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


async def breaks(stage: Stage, server: Server) -> list[str]:
    """Connections broken by force, again and again, while lines come."""
    wanted, readers, rate = (50, 5, 200) if stage.quick else (1000, 25, 500)
    seconds = 6 if stage.quick else 45
    proxy = Proxy(server.port)
    await proxy.start()
    run, process = await stage.run(lines=rate * seconds, rate=rate)
    viewers = [stage.viewer(proxy.port, run, pause=0.05) for _ in range(readers)]
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


async def readers(stage: Stage, server: Server) -> list[str]:
    """Many readers on one process: what share of a core they take."""
    count, seconds = (20, 2) if stage.quick else (500, 20)
    process = psutil.Process(server.process.pid)
    for rate, what in ((1, "a line a second"), (20, "20 lines a second")):
        run, printing = await stage.run(lines=int(rate * (seconds + (5 if stage.quick else 45))), rate=rate)
        viewers = [stage.viewer(server.port, run, keeps_texts=False) for _ in range(count)]
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
        stage = Stage(Path(name), options.quick)
        stage.prepare()
        from django.conf import settings

        print(f"{settings.DATABASES['default']['ENGINE'].rsplit('.', 1)[-1]}, {os.cpu_count()} cores", flush=True)
        for part in options.only.split(","):
            print(f"{part}: {' '.join((PARTS[part].__doc__ or '').split())}", flush=True)
            # Each part has a server of its own, so that none inherits what another left behind.
            with stage.server() as server:
                wrong += asyncio.run(PARTS[part](stage, server))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""How fast the console's pages are with a long past, and how many queries each takes.

``TEST_DB=postgresql python -m benchmarks.console_pages [--migrations 10000] [--runs 1000000] [--chunks 200000]``

The rows are made by the database in scratch databases. Each page is asked for through Django's test client, the
middlewares included, once cold and ``--rounds`` times more. ``--explain`` shows the plan of the slowest query of each
page; ``--keep`` leaves the databases to the next call with the same TEST_SESSION.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .crowd import APP, analyze, fill, name, write_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.console_settings")

LIST, HISTORY = "/admin/console/migration/", "/admin/console/run/"


@dataclass(frozen=True)
class Measured:
    """One page: seconds, queries, and its slowest query with its seconds."""

    cold: float
    warm: float
    cpu: float
    queries: int
    slowest: float
    sql: str
    alias: str
    size: int


def main(arguments: list[str] | None = None) -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--migrations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--chunks", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", default="", help="the pages whose names have this word")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCHMARK_APP"] = APP
        write_app(Path(folder), options.migrations - options.migrations // 20)
        sys.path.insert(0, folder)
        import django

        django.setup()
        with filled(options) as using:
            report(using, options)


@contextmanager
def filled(options: argparse.Namespace) -> Iterator[str]:
    """The databases with their rows; gives the alias of the console's tables."""
    from django.db import connections
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    from console.models import Run

    setup_test_environment()
    before = setup_databases(verbosity=0, interactive=False, keepdb=options.keep, serialized_aliases=())
    using = "console" if "console" in connections else "default"
    try:
        if Run.objects.count() != options.runs:
            from django.core.management import call_command

            for alias in connections:
                call_command("flush", database=alias, verbosity=0, interactive=False)
            began = time.perf_counter()
            fill(using, "default", migrations=options.migrations, runs=options.runs, chunks=options.chunks)
            print(f"filled in {time.perf_counter() - began:.0f} s")
        analyze()
        yield using
    finally:
        teardown_databases(before, verbosity=0, keepdb=options.keep)


def pages(options: argparse.Namespace) -> dict[str, tuple[str, dict[str, str]]]:
    """What is asked for: address and headers."""
    one = name(options.migrations // 2)
    run = f"{HISTORY}{{}}/"
    live = {"X-Console-Live": "1"}
    rare = 15_000
    found: dict[str, str] = {
        "list": LIST,
        "list, last page": f"{LIST}?p=9999",
        "list, search": f"{LIST}?q=crowd_0050",
        "list, one state": f"{LIST}?state=unregistered",
        "migration": f"{LIST}{one.replace('_', '_5F')}/change/",
        "history": HISTORY,
        "history, page 2": f"{HISTORY}?p=2",
        "history, last page": f"{HISTORY}?p={min(200, options.runs // 50)}",
        "history, status": f"{HISTORY}?status__exact=failed",
        "history, rare kind": f"{HISTORY}?kind__exact=mark",
        "history, door": f"{HISTORY}?door__exact=shell",
        "history, rare status": f"{HISTORY}?status__exact=running",
        "history, two filters without a match": f"{HISTORY}?status__exact=failed&kind__exact=reverse",
        "history, migration": f"{HISTORY}?migration={one}",
        "history, person": f"{HISTORY}?by=person-77",
        "history, sorted by person": f"{HISTORY}?o=7",
        "history, search a name": f"{HISTORY}?q={one}",
        "history, search a word of all": f"{HISTORY}?q=changed",
        "history, search nothing": f"{HISTORY}?q=nowhere",
        "history, year": f"{HISTORY}?requested_at__year=2024",
        "history, month": f"{HISTORY}?requested_at__year=2024&requested_at__month=3",
        "history, day": f"{HISTORY}?requested_at__year=2024&requested_at__month=3&requested_at__day=3",
        "run": run.format(options.runs - 5000) + "change/",
        "run with 1 M lines": run.format(2) + "change/",
        "log of 10 M lines, start": run.format(1) + "log/?after=0&limit=500",
        "log, middle": run.format(1) + "log/?after=5000000&limit=500",
        "log, around": run.format(1) + "log/?around=7654321&limit=500",
        "log, end": run.format(1) + "log/?tail=500",
        "log of 1 M lines, search a rare word": run.format(2) + "log/search/?text=chunk%201777",
        "log of 10 M lines, search a rare word": run.format(1) + f"log/search/?text=chunk%20{rare}",
        "log, search a word of every line": run.format(1) + "log/search/?text=moved",
    }
    answers: dict[str, tuple[str, dict[str, str]]] = {title: (url, {}) for title, url in found.items()}
    answers["list, live refresh"] = (LIST, live)
    answers["run, live refresh"] = (found["run"], live)
    return {title: answers[title] for title in sorted(answers, key=lambda title: title.partition(",")[0])}


def report(using: str, options: argparse.Namespace) -> None:
    """Measure each page and print a line of a table for it."""
    from django.contrib.auth.models import User
    from django.db import connections
    from django.test import Client

    from data_migrations import registry

    began = time.perf_counter()
    print(f"{len(registry.all_migrations()):,} registered, imported in {time.perf_counter() - began:.1f} s")
    ana = User.objects.filter(username="ana").first() or User.objects.create_superuser("ana", password="x")
    client = Client()
    client.force_login(ana)
    client.get("/admin/")
    version = ".".join(str(part) for part in connections[using].get_database_version())
    print(f"{connections[using].vendor} {version}, {options.runs:,} runs, {options.chunks * 500:,} log lines")
    print("| page | first | best | CPU of Python | queries | slowest query |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, (url, headers) in pages(options).items():
        if options.only not in title:
            continue
        seen = measure(client, url, headers, options.rounds)
        times = " | ".join(f"{each * 1000:,.0f} ms" for each in (seen.cold, seen.warm, seen.cpu))
        print(f"| {title} | {times} | {seen.queries} | {seen.slowest * 1000:,.1f} ms |", flush=True)
        if options.explain:
            print(f"    {seen.size:,} bytes; {seen.sql[:1500]}")
            print("    " + explain(seen).replace("\n", "\n    "))


def measure(client: Any, url: str, headers: dict[str, str], rounds: int) -> Measured:
    """Ask for a page again and again."""
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    times: list[float] = []
    cpu: list[float] = []
    for _ in range(rounds + 1):
        with ExitStack() as stack:
            captured = {each.alias: stack.enter_context(CaptureQueriesContext(each)) for each in connections.all()}
            began, busy = time.perf_counter(), time.process_time()
            response = client.get(url, headers=headers)
            size = len(b"".join(response.streaming_content) if response.streaming else response.content)
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - busy)
        assert response.status_code == 200, (url, response.status_code)
        if times[-1] == min(times[1:], default=0):
            queries = [(float(q["time"]), q["sql"], alias) for alias, c in captured.items() for q in c.captured_queries]
    slowest = max(queries)
    return Measured(times[0], min(times[1:]), min(cpu[1:]), len(queries), *slowest, size=size)


def explain(seen: Measured) -> str:
    """How the database goes about the slowest query."""
    from django.db import connections

    words = {"postgresql": "EXPLAIN (ANALYZE, BUFFERS)", "sqlite": "EXPLAIN QUERY PLAN"}
    with connections[seen.alias].cursor() as cursor:
        try:
            cursor.execute(f"{words[cursor.db.vendor]} {seen.sql.replace('%', '%%')}")
        except Exception as error:
            return f"no plan: {error}"
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


if __name__ == "__main__":
    main()

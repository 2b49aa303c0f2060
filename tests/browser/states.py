"""A run in each state, and what belongs to it, written into the tables of a site without a worker."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from console import approval, course, queue
from console.models import Attempt, Canary, LogChunk, Run, Worker
from data_migrations import ledger, registry
from data_migrations.models import Checkpoint, QuarantinedRow
from data_migrations.reporting import Door

BACKFILL, EMAILS = "backfill_order_totals_v1_2026_11_05", "normalize_customer_emails_v1_2026_11_02"
SEGMENT, SEED, CUSTOMERS = (
    "segment_customers_v1_2026_11_19", "seed_countries_v1_2026_11_01", "migrate_customers_v1_2026_11_21"
)  # fmt: skip
UNBEGUN, ENDED = ("waiting", "scheduled", "enqueued"), ("succeeded", "failed", "cancelled", "dry", "aside")
STEPS = [("s", "Run by ben through the console: OPS-1204")] + [
    ("o", f"{number},000 of 48,000 orders have their totals, up to order {number * 1377:,}") for number in range(1, 31)
]
ERROR = "duplicate key value violates unique constraint: shop_customer.email"
UNUSABLE = "'somewhere' is no e-mail address"
TRACEBACK = f"""Traceback (most recent call last):
  File "normalize_customer_emails.py", line 21, in perform_migration
    customer.save(update_fields=["email"])
django.db.utils.IntegrityError: {ERROR}"""


def write() -> None:
    """Write them; prints the word and the number of each run."""
    now = timezone.now()
    # Nobody beats here: what is alive stays alive while the pictures are taken.
    later = now + timedelta(hours=6)
    seen = {"started_at": now - timedelta(days=2), "seen_at": later, "release": "2026.11.3"}
    Worker.objects.create(host="worker-1", pid=412, **seen)
    Canary.objects.create(cluster=queue.cluster(), sent_at=later, answered_at=later, took=0.2)
    batched: dict[str, Any] = {
        "in_batches": True, "progress_done": 30_000, "progress_total": 48_000, "progress_at": now, "rate": 412.5,
        "heartbeat_at": later, "course": _course(now, 30_000),
    }  # fmt: skip
    _run("cancelled", BACKFILL, STEPS[:9], note="Cancelled by ben.", control_by="ben", **batched)
    counted = [("o", "249 countries were added")]
    _run("succeeded", SEED, counted, result="249 countries", affected_rows=249)
    looked = [("o", f"{number},000 of 48,000 customers were looked at") for number in range(1, 12)]
    _run("failed", EMAILS, [*STEPS[:1], *looked, *(("r", line) for line in TRACEBACK.splitlines())], error_line=13,
         error_class="django.db.utils.IntegrityError", traceback=TRACEBACK, course=_course(now, 11_000),
         error_message=f"{EMAILS} failed: IntegrityError: {ERROR}.\nNothing was kept: its transaction was rolled back. "
         "It was not recorded as applied.")  # fmt: skip
    _run("aside", CUSTOMERS, [("w", f"Set aside (key 1377): ValueError: {UNUSABLE}")],
         error_class="data_migrations.exceptions.QuarantineNotEmpty",
         error_message=f"{CUSTOMERS} is through with 1,279 rows, but 1 row (key 1377) was set aside.\nThis run was not "
         "recorded as applied.", **batched | {"progress_done": 1280, "progress_total": 1280})  # fmt: skip
    samples = [
        {"key": key, "before": {"email": f"Ada.{key}@Example.COM"}, "after": {"email": f"ada.{key}@example.com"}}
        for key in (3, 11, 42)
    ]
    _run("dry", EMAILS, STEPS[:5], kind="dry_run", affected_rows=1280, estimated_seconds=94, samples=samples,
         changes=[{"table": "shop_customer", "inserted": 0, "updated": 1280, "deleted": 0}])  # fmt: skip
    _run(
        "paused",
        BACKFILL,
        STEPS,
        note="Its finished batches are kept; “Resume…” lets this same run go on after them.",
        control_by="ben",
        **batched,
    )
    _run("interrupted", BACKFILL, STEPS[:20], begun=True, note="Its process on worker-1 (pid 412) is gone.", **batched)
    _run("enqueued", SEGMENT)
    decided: dict[str, Any] = {"decision": "approved", "decided_by": "ana", "decided_at": now}
    _run("scheduled", SEGMENT, start_at=now + timedelta(hours=9), **decided)
    waiting = _run("waiting", SEGMENT, approval_expires_at=now + timedelta(days=3))
    waiting.fingerprint = approval.fingerprint(waiting)
    waiting.save()
    _run("running", BACKFILL, STEPS, **batched)
    began = now - timedelta(minutes=29)
    Checkpoint.objects.create(name=BACKFILL, batches=30, rows=30_000, total=48_000, batch_size=1000, started_at=began,
                              updated_at=now)  # fmt: skip
    Checkpoint.objects.create(name=CUSTOMERS, batches=13, rows=1279, total=1280, batch_size=100, exhausted=True,
                              started_at=began, updated_at=now)  # fmt: skip
    QuarantinedRow.objects.create(name=CUSTOMERS, key="1377", model="shop.customer", error=f"ValueError: {UNUSABLE}",
                                  at=now)  # fmt: skip
    ledger.record(SEED, using="default", by="ben", door=Door.WORKER, duration=12.4, result="249 countries",
                  checksum=registry.get(SEED).checksum)  # fmt: skip


def _course(now: datetime, done: int) -> list[course.Point]:
    """So many rows until now, faster and slower in turns."""
    began = now.timestamp() - 80
    paces = [3 + 2 * math.sin(number / 4) for number in range(41)]
    return [
        (began + number * 2, round(done * sum(paces[:number]) / sum(paces[:40])), 1) for number in range(len(paces))
    ]


def _run(word: str, migration: str, lines: list[tuple[str, str]] | None = None, **fields: Any) -> Run:
    now = timezone.now()
    asked, began = now - timedelta(minutes=30), now - timedelta(minutes=29)
    known = registry.get(migration)
    values: dict[str, Any] = {
        "migration": migration, "command_name": known.command_name, "requested_by": "ben", "door": "worker",
        "reason": "OPS-1204: the yearly report needs the totals", "requested_at": asked, "enqueued_at": asked,
        "checksum": known.checksum, "release": "2026.11.3",
        "status": {"dry": "succeeded", "aside": "failed"}.get(word, word),
    }  # fmt: skip
    if word not in UNBEGUN:
        values |= {"started_at": began, "host": "worker-1", "pid": 412, "attempt": 1}
    if word in ENDED:
        values |= {"finished_at": now - timedelta(minutes=17)}
    run = Run.objects.create(**values | fields)
    if run.attempt:
        Attempt.objects.create(run=run, number=1, host="worker-1", pid=412, machine="another", started_at=began,
                               worker="worker-1:412", ended_at=run.finished_at)  # fmt: skip
    if lines:
        text, meta = "\n".join(line for _, line in lines), [[n * 900, level] for n, (level, _) in enumerate(lines)]
        LogChunk.objects.create(run=run, first=1, count=len(lines), bytes=len(text), at=began, text=text,
                                meta=json.dumps(meta))  # fmt: skip
        Run.objects.filter(pk=run.pk).update(log_next=len(lines) + 1)
    print(word, run.pk)
    return run

"""Parts of a run's log with a heading of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .reporting import GroupEnd, Reporter

TITLE_LENGTH = 200


@contextmanager
def group(reporter: Reporter, title: str) -> Iterator[None]:
    """Tell the reporter that a group begins, and at the end of the block how it ended and how long it took."""
    title = " ".join(str(title).split())[:TITLE_LENGTH] or "Group"
    reporter.group_began(title)
    began = time.monotonic()
    # Neither an exception nor a normal end: a request to stop, a signal.
    end = GroupEnd.STOPPED
    try:
        yield
        end = GroupEnd.DONE
    except Exception:
        end = GroupEnd.FAILED
        raise
    finally:
        reporter.group_ended(title, end, time.monotonic() - began)

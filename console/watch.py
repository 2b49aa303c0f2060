"""The thread beside each recorded run: stores its log, gives its signs of life, hears what people ask of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import Error

from data_migrations import clock, databases
from data_migrations.rate import Rate

from . import conf, journal, spool, store
from .course import Course
from .models import Run
from .states import Status
from .threads import ConsoleThread

if TYPE_CHECKING:
    from .drain import Drain

logger = logging.getLogger("console")

# After its end a run's thread goes on trying for this long before it leaves the rest to the workers.
LINGER_SECONDS = 60
MAX_PAUSE_SECONDS = 5.0
# What may be asked of a run, each stronger than those before.
_STRENGTH = ("", "stop", "pause", "cancel", "force", "superseded")


class Watch(ConsoleThread):
    """Works through its own connection, so that what it writes is seen while the run's transaction is open.

    Args:
        drain: what to store.
        number: the attempt.
        before_flush: called before each look at the journal.
        on_control: called with ``pause``, ``cancel`` or ``force`` and who asked for it, with ``stop``
            when ``is_stopping`` says so, and with ``superseded`` when a newer attempt has the run. Once
            for each, and after one never for a weaker one.
        is_stopping: whether this process is asked to end.
        on_done: called when the thread has nothing more to do.
    """

    def __init__(
        self,
        drain: Drain,
        number: int,
        *,
        before_flush: Callable[[], None] = lambda: None,
        on_control: Callable[[str, str], None] | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(f"console watch {drain.path.name}")
        self.drain = drain
        self.number = number
        self.before_flush = before_flush
        self.on_control = on_control
        self.is_stopping = is_stopping
        self.on_done = on_done
        self.progress: tuple[int, int | None] | None = None
        self.waiting_for = ""
        self._told_waiting = ""
        self._rate = Rate()
        self._course: Course | None = None
        self.is_delayed = False
        self.turned_away = False
        self._wake = threading.Event()
        self._done = threading.Event()
        self._deadline: float | None = None
        self._beat_at = self._looked_at = 0.0
        self._heard = ""

    def begin_rate_anew(self) -> None:
        """How fast it went up to now says nothing of how fast it will go."""
        self._rate = Rate()

    def wake(self) -> None:
        """There is enough to store at once."""
        self._wake.set()

    def finish(self, seconds: float) -> bool:
        """Wait until everything up to the end is stored, but at most so long. True when it is."""
        self._deadline = time.monotonic() + max(seconds, LINGER_SECONDS)
        self._wake.set()
        self._done.wait(seconds)
        return self.drain.ended

    def run(self) -> None:
        pause = 0.0
        try:
            while not self.drain.ended and not self._is_late():
                self._wake.wait(max(pause, conf.get("FLUSH_SECONDS")))
                self._wake.clear()
                try:
                    self._work()
                    pause = 0.0
                    self._mark(delayed=False)
                except store.TurnedAway:
                    self.turned_away = True
                    self._say("superseded")
                    return
                except Error:
                    # The run is not held up: its lines wait in the journal until the database takes them.
                    self._mark(delayed=True)
                    connections[spool.alias()].close()
                    pause = min(MAX_PAUSE_SECONDS, pause * 2 or 0.5)
        except Exception:
            logger.exception("The log of %s could not be stored; a worker will do it.", self.drain.path)
        finally:
            connections[spool.alias()].close()
            self.on_done()
            self._done.set()

    def _mark(self, *, delayed: bool) -> None:
        """Let the health page of this host know that lines wait."""
        if delayed == self.is_delayed:
            return
        self.is_delayed = delayed
        try:
            if delayed:
                (self.drain.path / journal.DELAYED).touch()
            else:
                (self.drain.path / journal.DELAYED).unlink(missing_ok=True)
        except OSError:
            logger.debug("The journal %s could not be marked.", self.drain.path, exc_info=True)

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _work(self) -> None:
        self.before_flush()
        spool.prepare_connection()
        while self.drain.step():
            if self.drain.ended:
                return
        if self.drain.run_id:
            self._beat()
            self._look()

    def _beat(self) -> None:
        now = time.monotonic()
        progress, self.progress = self.progress, None
        if progress is not None:
            self._rate.update(progress[0])
        waiting_for = self.waiting_for
        if (
            progress is None
            and waiting_for == self._told_waiting
            and now - self._beat_at < conf.get("HEARTBEAT_SECONDS")
        ):
            return
        fields: dict[str, Any] = {"heartbeat_at": databases.now(spool.alias()), "waiting_for": waiting_for}
        if progress is not None:
            fields |= {
                "progress_done": progress[0],
                "progress_total": progress[1],
                "progress_at": fields["heartbeat_at"],
                "rate": self._rate.per_second,
            }
            fields |= self._along(progress[0], clock.aware(fields["heartbeat_at"]).timestamp())
        Run.objects.filter(pk=self.drain.run_id, attempt=self.number, status=Status.RUNNING).update(**fields)
        self._told_waiting = waiting_for
        self._beat_at = now

    def _along(self, done: int, at: float) -> dict[str, Any]:
        """The course, where there is something new to store of it."""
        if self._course is None:
            # Those of earlier attempts are there already.
            kept = Run.objects.filter(pk=self.drain.run_id).values_list("course", flat=True).first()
            self._course = Course(kept or ())
        return {"course": self._course.points} if self._course.add(at, done, self.number) else {}

    def _look(self) -> None:
        """Whether anybody asks the run to stop."""
        now = time.monotonic()
        if self.on_control is None or now - self._looked_at < conf.get("CONTROL_SECONDS"):
            return
        self._looked_at = now
        row = Run.objects.filter(pk=self.drain.run_id).values_list("attempt", "control", "control_by").first()
        if row is None or row[0] != self.number:
            self._say("superseded")
        elif row[1]:
            self._say(row[1], row[2])
        elif self.is_stopping():
            self._say("stop")

    def _say(self, word: str, by: str = "") -> None:
        if self.on_control is not None and _STRENGTH.index(word) > _STRENGTH.index(self._heard):
            self._heard = word
            self.on_control(word, by)

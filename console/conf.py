"""The settings of the console: one dict, ``CONSOLE``, read when asked, every key with a default."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # The alias of the database that holds the console's tables; None means the router decides.
    # Read by console.routers.ConsoleRouter.
    "DATABASE": None,
    # Labels of the apps that ConsoleRouter keeps in that database.
    "DATABASE_APPS": ("console", "django_q"),
    # Record the runs that come through the shell, migrate and code: True, False, or "auto",
    # which means yes, except inside a Django test run.
    "RECORD": "auto",
    # Folder for what was printed and is not stored in the database yet; None means a folder of
    # this user in the system's temporary folder. It must outlive the process, not the machine.
    "SPOOL_DIR": None,
    # A chunk of log is stored when one of these is reached, whichever is first.
    "FLUSH_SECONDS": 0.25,
    "FLUSH_LINES": 500,
    "FLUSH_BYTES": 64 * 1024,
    # A longer line is cut, with a mark.
    "LINE_BYTES": 16 * 1024,
    # A longer log keeps its first and its last half, with a mark in between.
    "LOG_CAP_BYTES": 256 * 1024 * 1024,
    # The same for the lines of one run that wait in the spool folder.
    "SPOOL_CAP_BYTES": 512 * 1024 * 1024,
    # Seconds a process waits at its end for the last lines to be stored; what is left is stored by a worker.
    "END_WAIT_SECONDS": 10,
    # Seconds between two signs of life of a run, and of a worker.
    "HEARTBEAT_SECONDS": 5,
    # Seconds between two looks at whether somebody asked a run to stop.
    "CONTROL_SECONDS": 1,
    # Seconds a run that is stopped by force gets to unwind before its worker process is ended.
    "FORCE_STOP_SECONDS": 3,
    # Seconds without a sign of life after which a run counts as interrupted.
    "STUCK_SECONDS": 30,
    # Seconds after which the bell is rung again for a run that no worker took.
    "RERING_SECONDS": 60,
    # How often one run is taken up again without anyone's hand.
    "MAX_ATTEMPTS": 5,
    # Seconds after which a worker that gave no sign of life is not counted any more.
    "WORKER_SEEN_SECONDS": 90,
    # Seconds between two canaries, messages that only have to come through the queue; 0 sends none.
    "CANARY_SECONDS": 60,
    # Seconds after which a canary that nobody answered is late.
    "CANARY_LATE_SECONDS": 60,
    # A secret with which a monitor reads health and metrics without a login; empty: nobody does.
    "HEALTH_TOKEN": "",
    # What the queue allows one run, in seconds.
    "TASK_TIMEOUT_SECONDS": 7 * 24 * 3600,
    # The name of the queue's cluster that works on data migrations; None means the default one.
    "CLUSTER": None,
    # Which runs wait for a second person: None, those of commands with requires_approval; "destructive", or a list of
    # names and "destructive": these as well; True, all; False, none at all.
    "REQUIRE_APPROVAL": None,
    # Hours after which a run that nobody approved is cancelled.
    "APPROVAL_HOURS": 24,
    # The largest file that can be uploaded for a run.
    "UPLOAD_BYTES": 20 * 1024 * 1024,
    # What release of the code this is, kept with each run.
    "RELEASE": "",
    # The name of this environment and the colour of its band on the confirm page.
    "ENVIRONMENT": "",
    "ENVIRONMENT_COLOR": "",
    # Where this site is, for links in notices: "https://admin.example.com". Without it notices have none.
    "SITE_URL": "",
    # Which events are told, and by which channels: "email", "requester", or a name in NOTIFY_URLS.
    "NOTIFY": dict.fromkeys(("failed", "finished", "waiting", "expired", "stuck"), ("email",)),
    # The addresses of the channel "email".
    "NOTIFY_EMAILS": (),
    # Further channels by name, each the URL of a service as the Apprise library takes it.
    "NOTIFY_URLS": {},
    # A run that took longer is told as "finished"; None: none is.
    "NOTIFY_FINISHED_MINUTES": 10,
    # A run that was not taken up for so long is told as "stuck".
    "NOTIFY_STUCK_MINUTES": 10,
    # How often a notice is tried before it is given up.
    "NOTIFY_TRIES": 12,
    # Seconds that a mail server may be silent, where the mail backend itself says nothing.
    "NOTIFY_TIMEOUT_SECONDS": 10,
    # Logs of finished runs are taken away after so many days, and the oldest when all together are larger.
    "KEEP_LOGS_DAYS": 90,
    "KEEP_LOGS_BYTES": 5 * 1024**3,
    # Runs of the history are taken away after so many days, or when there are more of one migration; None: never.
    "KEEP_RUNS_DAYS": None,
    "KEEP_RUNS": None,
    # Notices that were sent or given up are taken away after so many days.
    "KEEP_NOTICES_DAYS": 90,
    # How often a worker looks for what is to be taken away; None: only console_prune does.
    "PRUNE_SECONDS": 3600,
}


def get(key: str) -> Any:
    """The value of one setting.

    Raises:
        KeyError: the key is not one of ``DEFAULTS``.
    """
    default = DEFAULTS[key]
    return getattr(settings, "CONSOLE", {}).get(key, default)

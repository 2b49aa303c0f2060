"""System checks: settings with which the console or its queue would not do what it promises."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import connections, router

from data_migrations import registry

from . import approval, channels, conf, spool
from .models import Run
from .wording import Event


def _queue() -> dict[str, Any]:
    return getattr(settings, "Q_CLUSTER", None) or {}


@checks.register("console")
def check_settings(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Unknown keys, and values that cannot work, in ``CONSOLE``."""
    given = getattr(settings, "CONSOLE", {})
    if not isinstance(given, dict):
        return [checks.Error("CONSOLE is not a dict.", id="console.E001")]
    found: list[checks.CheckMessage] = [
        checks.Error(
            f"CONSOLE has an unknown key {key!r}.",
            hint=f"The known keys are {', '.join(conf.DEFAULTS)}.",
            id="console.E001",
        )
        for key in given
        if key not in conf.DEFAULTS
    ]
    if conf.get("STUCK_SECONDS") < 3 * conf.get("HEARTBEAT_SECONDS"):
        found.append(
            checks.Error(
                "CONSOLE['STUCK_SECONDS'] is less than three times HEARTBEAT_SECONDS: runs that are well would be "
                "taken for dead.",
                hint="Raise STUCK_SECONDS or lower HEARTBEAT_SECONDS.",
                id="console.E002",
            )
        )
    if not isinstance(conf.get("TASK_TIMEOUT_SECONDS"), int) or conf.get("TASK_TIMEOUT_SECONDS") <= 0:
        found.append(
            checks.Error(
                "CONSOLE['TASK_TIMEOUT_SECONDS'] is not a whole number of seconds: django-q2's workers would die at "
                "every run.",
                hint="Set it to days, such as 7 * 24 * 3600, or leave it out.",
                id="console.E003",
            )
        )
    if not _is_approval_setting(conf.get("REQUIRE_APPROVAL")):
        found.append(
            checks.Error(
                f"CONSOLE['REQUIRE_APPROVAL'] is {conf.get('REQUIRE_APPROVAL')!r}, which does not say who needs it.",
                hint='It takes None, True, False, "destructive", or a list of names of data migrations and '
                '"destructive".',
                id="console.E011",
            )
        )
    hours = conf.get("APPROVAL_HOURS")
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 24 * 366:
        found.append(
            checks.Error(
                f"CONSOLE['APPROVAL_HOURS'] is {hours!r}, which is no number of hours: no run could be approved.",
                hint="Set it to a number above 0, or leave it out for a day.",
                id="console.E012",
            )
        )
    if conf.get("RECORD") not in (True, False, "auto"):
        found.append(
            checks.Error(
                f"CONSOLE['RECORD'] is {conf.get('RECORD')!r}; it takes True, False or 'auto'.", id="console.E004"
            )
        )
    return found


def _is_approval_setting(value: Any) -> bool:
    if value is None or isinstance(value, bool) or value == approval.DESTRUCTIVE:
        return True
    # A bare name would be taken letter by letter.
    is_list = isinstance(value, list | tuple | set | frozenset)
    return is_list and all(isinstance(each, str) and each for each in value)


@checks.register("console")
def check_unknown_approvals(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Names in ``REQUIRE_APPROVAL`` that no data migration has: somebody thinks that they are guarded."""
    setting = conf.get("REQUIRE_APPROVAL")
    if not _is_approval_setting(setting) or setting is None or isinstance(setting, bool | str):
        return []
    known = {migration.name for migration in registry.all_migrations()}
    return [
        checks.Warning(
            f"CONSOLE['REQUIRE_APPROVAL'] names {name!r}, which is no data migration.",
            hint="It takes migration names, not command names. Correct it, or take it out.",
            id="console.W011",
        )
        for name in sorted(set(setting) - known - {approval.DESTRUCTIVE})
    ]


@checks.register("console")
def check_database(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Where the console's tables are, and that its log can be written while a migration runs."""
    wanted = conf.get("DATABASE")
    if wanted is not None and wanted not in connections:
        return [
            checks.Error(
                f"CONSOLE['DATABASE'] is {wanted!r}, which is not in DATABASES.",
                hint=f"Use one of {', '.join(connections)}, or leave it out.",
                id="console.E005",
            )
        ]
    alias = router.db_for_write(Run)
    if wanted is not None and alias != wanted:
        return [
            checks.Error(
                f"CONSOLE['DATABASE'] is {wanted!r}, but no router sends the console there: it uses {alias!r}.",
                hint='Add "console.routers.ConsoleRouter" to the front of DATABASE_ROUTERS.',
                id="console.E006",
            )
        ]
    return list(_sqlite(alias)) if connections[alias].vendor == "sqlite" else []


def _sqlite(alias: str) -> Iterator[checks.CheckMessage]:
    database = connections[alias].settings_dict
    if any(each != alias and connections[each].settings_dict["NAME"] == database["NAME"] for each in connections) or (
        alias == "default"
    ):
        yield checks.Warning(
            "The console's tables are in the same SQLite file as the data. While a migration holds the file, nothing "
            'else can write to it: its log is shown late, marked "delayed", and people cannot log in.',
            hint="Add a second SQLite file to DATABASES, name it in CONSOLE['DATABASE'] and Q_CLUSTER['orm'], add "
            '"console.routers.ConsoleRouter" to DATABASE_ROUTERS, and migrate it.',
            id="console.W003",
        )
    if (database.get("OPTIONS") or {}).get("transaction_mode") not in ("IMMEDIATE", "EXCLUSIVE"):
        yield checks.Warning(
            f"The SQLite database {alias!r} begins its transactions DEFERRED: writers that meet fail at once with "
            '"database is locked".',
            hint="Set OPTIONS = {'transaction_mode': 'IMMEDIATE', 'timeout': 30, 'init_command': 'PRAGMA "
            "journal_mode=WAL;'} for it.",
            id="console.W004",
        )


@checks.register("console")
def check_queue(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Settings of django-q2 with which runs are lost, repeated or blocked."""
    queue = _queue()
    if not queue:
        return [
            checks.Warning(
                "Q_CLUSTER is not set: django-q2 will look for Redis on this host.",
                hint="Set Q_CLUSTER = {'name': 'migrations', 'orm': 'default', 'timeout': 7 * 24 * 3600, "
                "'retry': 8 * 24 * 3600} to keep the queue in the database.",
                id="console.W005",
            )
        ]
    return [*_times(queue), *_modes(queue)]


def _times(queue: dict[str, Any]) -> Iterator[checks.CheckMessage]:
    longest = max(queue.get("timeout") or 0, conf.get("TASK_TIMEOUT_SECONDS") or 0)
    retry = queue.get("retry", 60)
    if retry <= longest:
        yield checks.Warning(
            f"Q_CLUSTER['retry'] is {retry} s, no more than the {longest} s that a run may take: django-q2 hands a "
            "long run's message out again and again while it runs. The console starts nothing twice, but workers "
            "are kept busy.",
            hint="Set retry above both Q_CLUSTER['timeout'] and CONSOLE['TASK_TIMEOUT_SECONDS'], such as "
            "8 * 24 * 3600.",
            id="console.W001",
        )
    if queue.get("guard_cycle", 0.5) != 0.5:
        yield checks.Warning(
            f"Q_CLUSTER['guard_cycle'] is {queue['guard_cycle']}: with values other than 0.5 the guard may never "
            "notice that a worker is over its time.",
            hint="Leave guard_cycle out.",
            id="console.W002",
        )


def _modes(queue: dict[str, Any]) -> Iterator[checks.CheckMessage]:
    if queue.get("sync"):
        yield checks.Warning(
            "Q_CLUSTER['sync'] is on: a run is carried out inside the web request that asks for it.",
            hint="Leave sync out, and start a worker: python manage.py qcluster",
            id="console.W006",
        )
    orm = queue.get("orm")
    alias = spool.alias()
    if orm and orm not in connections:
        yield checks.Error(
            f"Q_CLUSTER['orm'] is {orm!r}, which is not in DATABASES.",
            hint=f"Set it to {alias!r}, where the console's tables are.",
            id="console.E007",
        )
    elif orm and orm != alias:
        yield checks.Warning(
            f"The queue is in the database {orm!r} and the console in {alias!r}. django-q2 closes connections that "
            "are in use when it puts a message into another database than the one of the open transaction.",
            hint=f"Set Q_CLUSTER['orm'] to {alias!r} and keep django_q's tables there (CONSOLE['DATABASE_APPS']).",
            id="console.W007",
        )


@checks.register("console")
def check_spool(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """That there is a place for log lines which are not stored yet."""
    try:
        spool.folder()
    except OSError as error:
        return [
            checks.Warning(
                str(error),
                hint="Until then runs from the shell are not recorded, and workers refuse runs.",
                id="console.W008",
            )
        ]
    return []


@checks.register("console")
def check_notices(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """That notices can go where the settings send them."""
    urls = conf.get("NOTIFY_URLS")
    if not isinstance(urls, dict) or not all(isinstance(each, str) and each for pair in urls.items() for each in pair):
        return [
            checks.Error(
                "CONSOLE['NOTIFY_URLS'] is not a dict of names and URLs.",
                hint='Write it as {"chat": "slack://…"}; one URL for each name.',
                id="console.E020",
            )
        ]
    found: list[checks.CheckMessage] = [
        checks.Error(
            f"CONSOLE['NOTIFY_URLS'] has a channel {name!r}: its name is "
            + ("taken." if name in (channels.EMAIL, channels.REQUESTER) else f"longer than {channels.NAME_LENGTH}."),
            hint="Give it another one.",
            id="console.E020",
        )
        for name in urls
        if name in (channels.EMAIL, channels.REQUESTER) or len(name) > channels.NAME_LENGTH
    ]
    if isinstance(conf.get("NOTIFY_EMAILS"), str):
        found.append(
            checks.Error(
                "CONSOLE['NOTIFY_EMAILS'] is one text: each of its letters would be an address.",
                hint='Write it as a list: ["ops@example.com"].',
                id="console.E020",
            )
        )
    found += _choices("CONSOLE['NOTIFY']", conf.get("NOTIFY"))
    for migration in registry.all_migrations():
        own = getattr(migration.command_class, "notify", None)
        if own:
            found += _choices(f"notify of {migration.name}", own)
    if urls and find_spec("apprise") is None:
        found.append(
            checks.Warning(
                "CONSOLE['NOTIFY_URLS'] is set, but the Apprise library is not installed: nothing can be sent there.",
                hint=f"Install it: {channels.INSTALL_APPRISE}",
                id="console.W020",
            )
        )
    site = conf.get("SITE_URL")
    if site and (
        not isinstance(site, str) or urlsplit(site).scheme not in ("http", "https") or not urlsplit(site).netloc
    ):
        found.append(
            checks.Error(
                f"CONSOLE['SITE_URL'] is {site!r}, which is no address that a link could begin with.",
                hint='Write it with its scheme, without "/admin": "https://admin.example.com".',
                id="console.E021",
            )
        )
    return found


def _choices(where: str, chosen: Any) -> Iterator[checks.CheckMessage]:
    """What is wrong with a choice of channels for events."""
    events = [event.value for event in Event]
    hint = (
        f"Events are {', '.join(events)}; channels are {', '.join(map(str, channels.names()))}. "
        'Write it as {"failed": ["email"]}.'
    )
    if not isinstance(chosen, dict):
        yield checks.Error(f"{where} is not a dict.", hint=hint, id="console.E022")
        return
    for event, some in chosen.items():
        if event not in events:
            yield checks.Error(f"{where} has an unknown event {event!r}.", hint=hint, id="console.E022")
        if not isinstance(some, list | tuple | set):
            yield checks.Error(f"{where} has no list of channels for {event!r}.", hint=hint, id="console.E022")
            continue
        for name in some:
            if name not in channels.names():
                yield checks.Error(f"{where} has an unknown channel {name!r}.", hint=hint, id="console.E022")


@checks.register("console")
def check_retention(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """That what is to be kept is said in numbers."""
    least = {
        "KEEP_LOGS_DAYS": 0,
        "KEEP_LOGS_BYTES": 0,
        "KEEP_RUNS_DAYS": 0,
        "KEEP_RUNS": 1,
        "KEEP_NOTICES_DAYS": 0,
        "PRUNE_SECONDS": 1,
        "NOTIFY_FINISHED_MINUTES": 0,
    }
    values = {key: conf.get(key) for key in least}
    return [
        checks.Error(
            f"CONSOLE[{key!r}] is {value!r}; it takes a number, at least {least[key]}, or None.", id="console.E023"
        )
        for key, value in values.items()
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < least[key])
    ]

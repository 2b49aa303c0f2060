"""What the tests of the pages share: people with permissions, runs with logs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import store
from console.journal import Line
from console.models import Run

EVERYTHING = (
    "view_run",
    "run_migration",
    "dry_run_migration",
    "cancel_run",
    "mark_migration",
    "unmark_migration",
    "view_log",
    "view_arguments",
    "view_health",
)
INCREMENT = "increment_items_2026_01_01"


def person(name: str, *codenames: str) -> User:
    """A member of the staff with those permissions of the console."""
    user = User.objects.create_user(name, password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="console", codename__in=codenames))
    return user


def address(page: str, name: str = INCREMENT, **query: str) -> str:
    """The address of a page of a data migration."""
    url = reverse(f"admin:console_migration_{page}", args=(quote(name),))
    return url + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")


def run_address(run: Run, page: str = "change") -> str:
    """The address of a page of a run."""
    return reverse(f"admin:console_run_{page}", args=(run.pk,))


def a_run(**fields: Any) -> Run:
    """A run in the history."""
    now = timezone.now()
    values: dict[str, Any] = {
        "migration": INCREMENT,
        "command_name": "increment",
        "requested_by": "ana",
        "status": "succeeded",
        "started_at": now,
        "finished_at": now,
        "reason": "because",
    }
    return Run.objects.create(**values | fields)


def print_lines(run: Run, *texts: str, level: str = "o") -> None:
    """Append lines to a run's log."""
    store.append(run.pk, [Line(index, time.time(), level, text) for index, text in enumerate(texts)])


@pytest.fixture
def ana(db: None) -> User:
    """May do everything."""
    return person("ana", *EVERYTHING)


@pytest.fixture
def client_of_ana(ana: User) -> Client:
    """A browser in which ana is logged in."""
    client = Client()
    client.force_login(ana)
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    """A browser of somebody who may only look."""
    client = Client()
    client.force_login(person("vera", "view_run"))
    return client

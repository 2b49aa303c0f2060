"""Who may import whom: the directions that keep the core usable without the console and the queue."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent

# (modules that are looked at, modules left out of the rule, what they must not import)
RULES = {
    "the core knows no console, queue, admin or HTTP": (
        "data_migrations",
        (),
        ("console", "django_q", "django.contrib.admin", "django.http"),
    ),
    "only console.queue knows django_q": ("console", ("console.queue",), ("django_q",)),
    "only console.worker calls the executor": (
        "console",
        ("console.worker", "console.demo"),
        ("data_migrations.executor",),
    ),
    "the console does not know its demo or its site": (
        "console",
        ("console.demo", "console.site"),
        ("console.demo", "console.site"),
    ),
    "the packages do not know the tests": ("console data_migrations", (), ("tests",)),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that the module imports, absolute, with its line; also imports inside functions."""
    package = module_name(path).split(".")
    if path.stem != "__init__":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def offences(rule: str) -> list[str]:
    where, exempt, forbidden = RULES[rule]
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for folder in where.split()
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not within(module_name(path), exempt)
        for line, name in imported(path)
        if within(name, forbidden)
    ]


@pytest.mark.parametrize("rule", RULES)
def test_imports_keep_their_directions(rule: str) -> None:
    assert offences(rule) == []


def test_a_relative_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "console" / "views"
    package.mkdir(parents=True)
    (package / "page.py").write_text("def show():\n    from ..queue import django_q\n    from .. import site\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert list(imported(package / "page.py")) == [(2, "console.queue.django_q"), (3, "console.site")]
    assert offences("the console does not know its demo or its site") == [
        "console/views/page.py:3 imports console.site"
    ]


CORE_ALONE = """
import sys, django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["data_migrations"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.core.management import call_command
from data_migrations.management.commands.base import IdempotentCommand
from data_migrations.utils.migrations import RunDataMigration, run_once
call_command("check")
call_command("migrate", verbosity=0)
call_command("custom_migrations", "list")
print(sorted(m for m in sys.modules if m.split(".")[0] in {"console", "django_q"} or m == "django.contrib.admin"))
"""


def test_the_core_works_without_console_and_queue() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CORE_ALONE], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

"""The documentation promises nothing that the code does not keep.

Commands parse, settings and system checks are complete and have their defaults, code compiles, links lead somewhere,
and what the README shows works in a new project.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

from data_migrations import conf as core_conf
from data_migrations.management.commands.base import BatchedCommand, IdempotentCommand
from data_migrations.sources import CsvBatchedCommand

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.once]

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
WITH_CONSOLE = apps.is_installed("console")

# Commands of the reader's own project, and of the demo shop, which these settings do not have.
EXAMPLES: dict[str, type[IdempotentCommand]] = {
    "fill_totals": IdempotentCommand,
    "lowercase_emails": IdempotentCommand,
    "normalize_customer_emails": IdempotentCommand,
    "lowercase_emails_in_batches": BatchedCommand,
    "import_prices": CsvBatchedCommand,
}

_FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?:example: (?P<example>[^>]+?)|(?P<fragment>fragment)) -->\n *)?"
    r"```(?P<language>\w*)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block:
    """A fenced block of a page: its language, its text without the indent, and what it is an example or a part of."""

    def __init__(self, page: Path, match: re.Match[str]) -> None:
        self.page = page
        self.language = match["language"]
        self.example = match["example"] or ""
        self.is_fragment = bool(match["fragment"])
        self.code = textwrap.dedent(match["code"])
        self.line = page.read_text()[: match.start()].count("\n") + 1

    def __repr__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    return [Block(page, match) for match in _FENCE.finditer(page.read_text())]


def example(page: str, name: str) -> str:
    """The one block that is marked as this example."""
    (found,) = [block for block in blocks(ROOT / page) if block.example == name]
    return found.code


def words(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``python manage.py`` of a page, in blocks and in sentences; in the demo it is another."""
    begin = re.compile(r"(\.venv/bin/)?python manage\.py ")
    for block in blocks(page):
        if block.language in ("", "console", "bash", "sh"):
            for line in block.code.replace("\\\n", " ").splitlines():
                if begin.match(line):
                    yield shlex.split(line)[2:]
    for inline in re.findall(r"`([^`]+)`", words(page)):
        command = " ".join(inline.split())
        if begin.match(command):
            yield shlex.split(command)[2:]


def make(name: str) -> BaseCommand:
    if name in EXAMPLES:
        return EXAMPLES[name]()
    known = get_commands()
    assert name in known, f"there is no command {name}"
    app = known[name]
    return load_command_class(app, name) if isinstance(app, str) else app


def flags(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of those below it."""
    found: set[str] = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= flags(below)
    return found


# Commands


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_parses(page: Path) -> None:
    for name, *arguments in commands(page):
        if (name == "qcluster" or name.startswith("console_")) and not WITH_CONSOLE:
            continue
        # Words in capitals stand for the reader's own; the alias "other" is as good as any. The reader's "console"
        # is the second SQLite file, which these tests have on SQLite only.
        given = [re.sub(r"^(ALIAS|console)$", "other", argument) for argument in arguments]
        parser = make(name).create_parser("manage.py", name)
        # argparse would take any beginning of an option for it.
        options = flags(parser)
        assert [word for word in given if word.startswith("--") and word not in options] == [], page.name
        # Without it the parser would end the process.
        parser.called_from_command_line = False
        try:
            parser.parse_args(given)
        except CommandError as error:
            pytest.fail(f"{page.name}: python manage.py {name} {shlex.join(arguments)}: {error}")


def test_the_commands_are_found() -> None:
    found = {name for page in PAGES for name, *_ in commands(page)}
    assert {"check", "migrate", "custom_migrations", "qcluster", "lowercase_emails"} <= found


def test_every_example_command_is_used() -> None:
    assert set(EXAMPLES) <= {name for page in PAGES for name, *_ in commands(page)}


DEMO = "console/demo/management/commands"


def test_a_command_of_the_examples_is_in_the_demo_or_in_a_file_that_its_page_names() -> None:
    shown = {Path(block.example).stem for page in PAGES for block in blocks(page)}
    in_demo = {path.stem for path in (ROOT / DEMO).glob("*.py")}
    assert set(EXAMPLES) - in_demo - shown == set()
    for page in PAGES:
        said = re.sub(r"<!--.*?-->", "", words(page), flags=re.DOTALL)
        for block in blocks(page):
            # What has a help text is a command to write down, not a few attributes of one.
            if re.search(r"^class Command\b.*^    help = ", block.code, re.MULTILINE | re.DOTALL):
                assert block.example.endswith(".py"), f"{block!r}: say in which file it is"
                assert re.search(rf"`(\S+/)?{Path(block.example).name}`", said), f"{block!r}: {block.example}"


def test_every_option_of_ours_is_documented() -> None:
    page = (ROOT / "docs" / "writing-a-data-migration.md").read_text()
    options = IdempotentCommand().create_parser("manage.py", "x")._actions
    theirs = {
        flag for action in BaseCommand().create_parser("manage.py", "x")._actions for flag in action.option_strings
    }
    for action in options:
        for flag in action.option_strings:
            assert flag in theirs or f"| `{flag}" in page, f"{flag} is not documented"


def test_every_member_of_the_class_is_documented() -> None:
    page = (ROOT / "docs" / "writing-a-data-migration.md").read_text()
    authors = {name for name in vars(IdempotentCommand) if not name.startswith("_")} & {
        *IdempotentCommand.__annotations__, "perform_migration", "reverse_migration", "verify", "get_model", "progress",
        "track",
    }  # fmt: skip
    for name in authors - {"in_batches"}:
        assert re.search(rf"`(self\.)?{name}\b", page), f"{name} is not documented"


def test_everything_of_batches_is_documented() -> None:
    page = (ROOT / "docs" / "batches.md").read_text()
    for command in (BatchedCommand, CsvBatchedCommand):
        for name in set(command.__annotations__) - {"in_batches"}:
            assert re.search(rf"`?\b{name}\b", page), f"{name} is not documented"
        ours = {flag for action in command().create_parser("manage.py", "x")._actions for flag in action.option_strings}
        for flag in ours - flags(IdempotentCommand().create_parser("manage.py", "x")):
            assert f"`{flag}" in page, f"{flag} is not documented"
    defaults = {key: ast.literal_eval(value) for rows in tables(page).values() for key, value in rows.items() if value}
    assert len(defaults) == 10
    for name, value in defaults.items():
        assert getattr(CsvBatchedCommand, name) == value
    for key in {*core_conf.THROTTLE_DEFAULTS}:
        assert f"`{key}`" in page or f'"{key}"' in page, f"{key} is not documented"


def test_every_exit_status_is_documented() -> None:
    from data_migrations import exceptions

    page = (ROOT / "docs" / "writing-a-data-migration.md").read_text()
    statuses = {value for name, value in vars(exceptions).items() if name.startswith("EXIT_")}
    assert {int(status) for status in re.findall(r"^\| (\d) \|", page, re.MULTILINE)} == statuses | {0, 2}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"run", "test", "wheel"} <= named
    assert named - targets == set()


def test_the_demo_begins_anew_as_the_readme_says(tmp_path: Path) -> None:
    assert "`make fresh`" in (ROOT / "README.md").read_text()
    shutil.copy(ROOT / "Makefile", tmp_path)
    data, kept = tmp_path / "var" / "shop.sqlite3", tmp_path / ".venv" / "bin"
    for folder in (data.parent, kept):
        folder.mkdir(parents=True)
    data.touch()
    subprocess.run(["make", "fresh"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "Makefile"]
    # It is where the site keeps all that it has.
    settings = (ROOT / "console" / "site" / "settings.py").read_text()
    assert 'BASE_DIR / "var"' in settings


# Settings


def tables(text: str) -> dict[str, dict[str, str]]:
    """For each heading of a page the first two columns of the tables under it, without their backquotes."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = re.match(r"\| `([^`]+)` \| (`([^`]*)`)?", line)
        if cells:
            found.setdefault(heading, {})[cells[1]] = cells[3] or ""
    return found


def check_settings(name: str, defaults: dict[str, Any]) -> None:
    documented = tables((ROOT / "docs" / "settings.md").read_text())[name]
    assert {key: ast.literal_eval(default) for key, default in documented.items()} == defaults


def test_the_settings_of_the_core_are_documented_with_their_defaults() -> None:
    check_settings("DATA_MIGRATIONS", core_conf.DEFAULTS)
    check_settings("THROTTLE", core_conf.THROTTLE_DEFAULTS)


@pytest.mark.skipif(not WITH_CONSOLE, reason="the console is left out")
def test_the_settings_of_the_console_are_documented_with_their_defaults() -> None:
    from console import conf

    check_settings("CONSOLE", conf.DEFAULTS)


def test_every_environment_variable_is_documented() -> None:
    read = {
        name
        for folder in ("data_migrations", "console")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", path.read_text())
    }
    page = (ROOT / "docs" / "settings.md").read_text()
    assert {name for name in read | {"DATA_MIGRATIONS_ACTOR"} if f"`{name}`" not in page} == set()


def test_settings_named_anywhere_exist() -> None:
    known = {"DATA_MIGRATIONS": set(core_conf.DEFAULTS)}
    if WITH_CONSOLE:
        from console import conf

        known["CONSOLE"] = set(conf.DEFAULTS)
    for page in PAGES:
        for name, key in re.findall(r"\b(DATA_MIGRATIONS|CONSOLE)\[[\"']([A-Z_]+)[\"']\]", page.read_text()):
            assert name not in known or key in known[name], f"{page.name}: {name}[{key!r}]"


# System checks


def test_every_system_check_is_documented_and_no_other() -> None:
    ids = re.compile(r"\b(?:data_migrations|console)\.[CDEIW]\d{3}\b")
    in_code = {
        found
        for folder in ("data_migrations", "console")
        for path in (ROOT / folder).rglob("*.py")
        for found in re.findall(r"id=\"([a-z_]+\.[CDEIW]\d{3})\"", path.read_text())
    }
    page = (ROOT / "docs" / "checks.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+\.[CDEIW]\d{3})` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(in_code)
    for other in PAGES:
        assert set(ids.findall(other.read_text())) <= in_code, other.name


# Code, links, words


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.code, repr(block), "exec")


# What a settings file has at its place; some blocks are to be added to one.
SETTINGS = ("BASE_DIR", "INSTALLED_APPS", "Q_CLUSTER")


def undefined_names(code: str) -> set[str]:
    """The names that are used in there and come from nowhere."""
    builtins = f"builtins = [{', '.join(repr(name) for name in SETTINGS)}]"
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821", "--config", builtins,
         "--output-format", "concise", "--stdin-filename", "x.py", "-"],
        input=code, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "No module" not in done.stderr
    return set(re.findall(r"Undefined name `(\w+)`", done.stdout))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_can_be_pasted_unless_it_is_marked_as_a_fragment(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and not block.is_fragment:
            assert undefined_names(block.code) == set(), f"{block!r}: import them, or mark it as a fragment"


def test_what_has_a_command_is_no_fragment() -> None:
    commands = [block for page in PAGES for block in blocks(page) if re.search(r"^class Command\b", block.code, re.M)]
    assert len(commands) >= 8
    assert [block for block in commands if block.is_fragment] == []


def test_a_name_that_comes_from_nowhere_is_found() -> None:
    assert undefined_names("from x import y\n\ny(INSTALLED_APPS, Lower)\n") == {"Lower"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", words(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", words(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme, page.name


def test_modules_and_names_in_imports_exist() -> None:
    for page in PAGES:
        for module, names in re.findall(
            r"^from ((?:data_migrations|console)[\w.]*) import (.+)$", page.read_text(), re.M
        ):
            found = __import__(module, fromlist=["x"])
            for name in names.split(","):
                assert hasattr(found, name.strip()), f"{page.name}: {module}.{name}"


# What the README shows, in a project as a newcomer has it


class Project:
    """A new Django project with an app shop, in a folder of its own, with an SQLite file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("TEST_", "DJANGO_", "PYTEST_"))},
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
            "TMPDIR": str(folder),
        }
        self.do("-m", "django", "startproject", "mysite", ".")
        self.manage("startapp shop")
        self.add("shop/models.py", "\n\nclass Customer(models.Model):\n    email = models.CharField(max_length=200)\n")
        self.settings('INSTALLED_APPS += ["shop"]')

    def do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def manage(self, command: str) -> str:
        done = self.do("manage.py", *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def add(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.write(text)

    def settings(self, text: str) -> None:
        self.add("mysite/settings.py", "\n" + text)

    def emails(self) -> str:
        emails = 'Customer.objects.values_list("email", flat=True)'
        return self.manage(f"shell -v 0 -c 'from shop.models import Customer; print(*{emails})'").strip()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    for folder in ("shop/management", "shop/management/commands"):
        project.add(f"{folder}/__init__.py", "")
    project.add("shop/management/commands/lowercase_emails.py", example("README.md", EXAMPLE_COMMAND))
    return project


EXAMPLE_COMMAND = "shop/management/commands/lowercase_emails.py"
CREATE = "shell -v 0 -c 'from shop.models import Customer; Customer.objects.create(email=\"Ana@Example.com\")'"


def commands_below_the_example() -> Block:
    (block,) = [each for each in blocks(ROOT / "README.md") if "lowercase_emails --dry-run" in each.code]
    return block


def test_the_readmes_example_has_about_fifteen_lines() -> None:
    assert len(example("README.md", EXAMPLE_COMMAND).splitlines()) <= 15


def test_the_readmes_example_works_with_the_core_alone(project: Project) -> None:
    project.settings('INSTALLED_APPS += ["data_migrations"]')
    project.manage("makemigrations shop")
    assert "no issues" in project.manage("check")
    project.manage("migrate")
    project.manage(CREATE)
    # The three commands that stand below it.
    block = commands_below_the_example()
    dry, real, listing = [line.removeprefix("python manage.py ") for line in block.code.splitlines()]
    said = project.manage(dry)
    assert "shop_customer: 0 inserted, 1 updated, 0 deleted" in said
    assert "Nothing was kept" in said
    assert project.emails() == "Ana@Example.com"
    assert "is applied in" in project.manage(real)
    assert project.emails() == "ana@example.com"
    assert "already applied" in project.manage(real)
    assert re.search(r"applied +lowercase_emails_v1_2026_11_21", project.manage(listing))
    done = project.do("-c", "import django, sys; sys.argv = ['manage.py', 'check']; import runpy; "
                      "runpy.run_path('mysite/settings.py'); assert 'django_q' not in sys.modules")  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not WITH_CONSOLE, reason="the console is left out")
def test_the_readme_can_be_followed_in_the_demo(tmp_path: Path) -> None:
    """Word for word, in a copy of what is needed for it, with the Python of these tests for that of ``make``."""
    for name in ("console", "data_migrations", "templates", "manage.py"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TEST_", "DJANGO_", "DATABASE_"))}

    def manage(command: str) -> str:
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=tmp_path, env={**kept, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    # What ``make run`` does at its start.
    for command in ("migrate --database console", "migrate", "load_demo --customers 20 --orders 20"):
        manage(f"python manage.py {command} -v 0")
    (shop,) = [each for each in blocks(ROOT / "README.md") if each.code.startswith(".venv/bin/python manage.py")]
    listing, dry, real = [manage(line) for line in shop.code.splitlines()]
    assert "pending  normalize_customer_emails_v1_2026_11_02" in listing
    assert "Nothing was kept" in dry
    assert "is applied in" in real
    (path,) = re.findall(rf"write it to `({DEMO}/lowercase_emails\.py)`", (ROOT / "README.md").read_text())
    (tmp_path / path).write_text(example("README.md", EXAMPLE_COMMAND))
    below = [manage(line) for line in commands_below_the_example().code.splitlines()]
    assert "Nothing was kept" in below[0]
    assert "lowercase_emails_v1_2026_11_21 is applied in" in below[1]
    assert re.search(r"applied +lowercase_emails_v1_2026_11_21", below[2])


@pytest.mark.skipif(not WITH_CONSOLE, reason="the console is left out")
def test_the_readmes_settings_are_taken_and_sqlite_is_warned_of(project: Project) -> None:
    project.settings(example("README.md", "settings"))
    project.manage("makemigrations shop")
    said = project.manage("check")
    assert re.findall(r"[a-z_]+\.[EW]\d+", said) == ["console.W003", "console.W004"]
    project.manage("migrate")


@pytest.mark.skipif(not WITH_CONSOLE, reason="the console is left out")
def test_a_project_on_sqlite_gets_its_console_as_described(project: Project) -> None:
    project.settings(example("docs/installing.md", "sqlite settings"))
    project.manage("makemigrations shop")
    assert "no issues" in project.manage("check")
    (block,) = [each for each in blocks(ROOT / "docs" / "installing.md") if "--database console" in each.code]
    for line in block.code.splitlines():
        project.manage(line.removeprefix("python manage.py "))
    project.manage(CREATE)
    assert "is applied in" in project.manage("lowercase_emails")
    assert runs(project) == "lowercase_emails_v1_2026_11_21 shell succeeded"
    tables = project.manage(
        "shell -v 0 -c 'from django.db import connection as c; print(c.introspection.table_names())'"
    )
    assert "data_migrations_lease" in tables
    assert "console_run" not in tables


def runs(project: Project) -> str:
    """The console's history."""
    query = 'Run.objects.values_list("migration", "door", "status")'
    return project.manage(
        f"shell -v 0 -c 'from console.models import Run; print(*[\" \".join(row) for row in {query}])'"
    ).strip()


def test_the_example_test_passes(project: Project) -> None:
    project.settings('INSTALLED_APPS += ["data_migrations"]')
    project.manage("makemigrations shop")
    project.add(
        "shop/test_lowercase_emails.py", example("docs/writing-a-data-migration.md", "shop/test_lowercase_emails.py")
    )
    project.add("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = mysite.settings\n")
    done = project.do("-m", "pytest", "-q", "-p", "no:cacheprovider", "shop/test_lowercase_emails.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.skipif(not WITH_CONSOLE, reason="the console is left out")
def test_every_permission_is_documented_and_the_roles_name_none_that_is_not_there() -> None:
    from console.models import Run

    meta = Run._meta
    known = {f"{action}_run" for action in meta.default_permissions} | {codename for codename, _ in meta.permissions}
    page = (ROOT / "docs" / "installing.md").read_text()
    assert set(re.findall(r"`console\.([a-z_]+)`", page)) == known
    (block,) = [each for each in blocks(ROOT / "docs" / "installing.md") if "ROLES" in each.code]
    roles = ast.literal_eval(block.code[block.code.index("{") : block.code.index("\n}\n") + 2])
    assert {codename for codenames in roles.values() for codename in codenames} <= known


def test_every_state_and_status_is_documented() -> None:
    from data_migrations.status import State

    managing = (ROOT / "docs" / "managing.md").read_text()
    assert set(re.findall(r"^\| `([a-z]+)` \|", managing, re.MULTILINE)) == {str(state) for state in State}
    if WITH_CONSOLE:
        from console.states import Status

        operating = (ROOT / "docs" / "operating.md").read_text()
        assert set(re.findall(r"^\| ([a-z]+) \|", operating, re.MULTILINE)) == {
            str(status.value) for status in Status
        } | {"status"}

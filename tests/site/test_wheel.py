"""The wheel carries what another project needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

LOOK = """
import sys, django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["console", "data_migrations", "django.contrib.admin", "django.contrib.auth",
                    "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
                    "django.contrib.staticfiles", "django_q"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    STATIC_URL="/static/",
)
django.setup()
import console, data_migrations
from django.contrib.staticfiles import finders
from django.template.loader import get_template
for package in (console, data_migrations):
    assert package.__file__.startswith(sys.prefix), package.__file__
for name in sys.argv[1].split():
    origin = get_template(name).origin.name
    assert origin.startswith(sys.prefix), origin
for name in sys.argv[2].split():
    assert finders.find(name).startswith(sys.prefix), name
print("found")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a clean copy of the tree, since setuptools leaves its build folder in it."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    copy = folder / "tree"
    for name in filter(None, tracked):
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.exists():
            target.write_bytes(source.read_bytes())
    # An sdist first, and the wheel from it: so both are shown to be whole.
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder)], cwd=copy, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def files(*patterns: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for pattern in patterns
        for path in ROOT.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_module_template_and_static_file(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = files("data_migrations/**/*.py", "console/**/*.py", "console/static/**/*")
    wanted |= {f"console/{name}" for name in files("templates/**/*")}
    assert wanted - inside == set()
    assert not any(name.startswith(("tests/", "templates/")) for name in inside)


def test_an_installed_wheel_finds_its_pages(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    templates = " ".join(sorted(name.removeprefix("templates/") for name in files("templates/**/*.html")))
    static = " ".join(sorted(name.removeprefix("console/static/") for name in files("console/static/**/*")))
    assert templates
    assert static
    # Django and the others come from here; our own packages cannot, since here they are an editable install.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(
        [str(python), "-c", LOOK, templates, static],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "found"

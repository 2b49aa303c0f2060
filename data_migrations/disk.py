"""Django's own migrations as they are on disk, read so that one broken module does not hide the others."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from django.apps import apps
from django.db.migrations.loader import MIGRATIONS_MODULE_NAME, MigrationLoader
from django.db.migrations.migration import Migration


class DiskLoader(MigrationLoader):
    """Django's loader; what cannot be imported is in ``broken``, by "app.name", with the reason.

    ``build_graph`` still raises what Django raises where the others depend on what is broken.
    """

    def load_disk(self) -> None:
        """Import the migrations of every installed app, as far as they can be."""
        self.disk_migrations: dict[tuple[str, str], Migration] = {}
        self.unmigrated_apps: set[str] = set()
        self.migrated_apps: set[str] = set()
        self.broken: dict[str, str] = {}
        for config in apps.get_app_configs():
            package = self._package(config.label)
            if package is None:
                self.unmigrated_apps.add(config.label)
                continue
            self.migrated_apps.add(config.label)
            for name in _names(package):
                self._load(config.label, name, f"{package.__name__}.{name}")

    def _package(self, app: str) -> ModuleType | None:
        module_name, explicit = self.migrations_module(app)
        if module_name is None:
            return None
        try:
            package = import_module(module_name)
        except ModuleNotFoundError as error:
            is_absent = explicit or MIGRATIONS_MODULE_NAME in (error.name or "").split(".")
            if not is_absent:
                self.broken[app] = _words(error)
            return None
        except Exception as error:
            self.broken[app] = _words(error)
            return None
        # Neither a plain module (migrations.py) nor an empty folder holds migrations.
        is_package = hasattr(package, "__path__") and (getattr(package, "__file__", None) or _is_list(package))
        return package if is_package else None

    def _load(self, app: str, name: str, module_name: str) -> None:
        try:
            self.disk_migrations[app, name] = import_module(module_name).Migration(name, app)
        except Exception as error:
            self.broken[f"{app}.{name}"] = _words(error)


def _is_list(package: ModuleType) -> bool:
    return isinstance(package.__path__, list)


def _names(package: ModuleType) -> Iterator[str]:
    for _, name, is_package in pkgutil.iter_modules(package.__path__):
        if not is_package and name[0] not in "_~":
            yield name


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

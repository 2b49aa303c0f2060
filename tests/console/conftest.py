"""What the console's tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console import polling
from console.views import guard
from tests.console.pages import ana, client_of_ana, viewer  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def spool_dir(settings: Any, tmp_path: Path) -> Path:
    """A spool folder of the test's own, and short turns of the threads, so that tests need not wait."""
    folder = tmp_path / "spool"
    settings.CONSOLE = {
        **settings.CONSOLE,
        "SPOOL_DIR": str(folder),
        "FLUSH_SECONDS": 0.02,
        "CONTROL_SECONDS": 0.05,
    }
    return folder


@pytest.fixture(autouse=True)
def moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from another test, whose runs have the same numbers, nor from another line of this one."""
    polling.forget()
    guard.forget()
    monkeypatch.setattr(polling, "MOMENT", 0.0)
    monkeypatch.setattr(guard, "MOMENT", 0.0)

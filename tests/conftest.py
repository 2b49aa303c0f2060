"""What all tests share."""

from __future__ import annotations

import os
import shutil

import pytest

from tests import databases


def pytest_report_header(config: pytest.Config) -> str:
    kind = databases.chosen()
    left_out = [other for other in databases.KINDS if other != kind]
    return f"database: {databases.find(kind).where} (not in this session: {', '.join(left_out)})"


def pytest_unconfigure(config: pytest.Config) -> None:
    # xdist workers share the directory with the session that started them, which removes it last.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(databases.scratch_directory(), ignore_errors=True)

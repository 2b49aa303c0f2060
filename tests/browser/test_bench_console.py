"""The measurements of the log stream still work, in their quick form; what they find out is not looked at here."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.browser.site import ROOT


def test_the_quick_form_loses_and_doubles_nothing(browser: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.console_stream", "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for part in (
        "streamed, 5",
        "polled under WSGI, 5",
        "polled under ASGI, 5",
        "nothing lost or doubled",
        "0 lost, 0 doubled",
        "of a core",
    ):
        assert part in done.stdout

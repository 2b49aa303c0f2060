"""Keeping secrets out of what checks say: drivers and brokers put addresses, passwords among them, into errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import connections

from console import conf
from console.masking import Masker
from data_migrations.arguments import MASKED

from .finding import Finding

_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]*@")
_NAMED = re.compile(r"(?i)\b(password|passwd|pwd|secret|token|api_?key)\b(\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)")


class Discretion:
    """Takes passwords, keys and tokens of the settings, and what looks like one, out of findings."""

    def __init__(self) -> None:
        self._masker = Masker(_secrets())

    def __call__(self, finding: Finding) -> Finding:
        """The same without them."""
        return replace(
            finding,
            text=self.text(finding.text),
            hint=self.text(finding.hint),
            details=tuple(map(self.text, finding.details)),
        )

    def text(self, text: str) -> str:
        """The same for a text."""
        return self._masker.lines(_NAMED.sub(rf"\1\2{MASKED}", _IN_ADDRESS.sub(f"{MASKED}@", text)))


def _secrets() -> Iterator[Any]:
    yield settings.SECRET_KEY
    yield conf.get("HEALTH_TOKEN")
    for alias in connections:
        yield connections[alias].settings_dict.get("PASSWORD")

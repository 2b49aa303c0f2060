"""Sensitive arguments between form and worker."""

from __future__ import annotations

from typing import Any

import pytest

from console import sealing


def test_what_is_sealed_cannot_be_read_and_can_be_opened() -> None:
    sealed = sealing.seal({"password": "hunter2", "count": 3})
    assert "hunter2" not in sealed
    assert sealing.unseal(sealed) == {"password": "hunter2", "count": 3}


def test_a_sealed_text_that_was_changed_is_refused() -> None:
    sealed = sealing.seal({"a": 1})
    with pytest.raises(sealing.Unsealable, match="Nothing was run"):
        sealing.unseal(sealed[:-4] + "AAAA")


def test_another_secret_key_cannot_open_it(settings: Any) -> None:
    sealed = sealing.seal({"a": 1})
    settings.SECRET_KEY = "x" * 60
    with pytest.raises(sealing.Unsealable, match="SECRET_KEY_FALLBACKS"):
        sealing.unseal(sealed)

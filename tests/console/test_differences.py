"""What was changed since a data migration was applied."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from console import differences
from data_migrations import ledger, registry
from data_migrations.models import AppliedSource
from data_migrations.reporting import Door
from tests.console.pages import INCREMENT, address

OLD = "one\ntwo\nthree\n"


def test_lines_have_their_mark_in_the_text() -> None:
    found = differences.between(OLD, "one\n2\nthree\nfour\n")
    assert [(line.tone, line.text) for line in found.lines] == [
        ("head", "--- as it was applied"),
        ("head", "+++ as it is now"),
        ("place", "@@ -1,3 +1,4 @@"),
        ("same", " one"),
        ("removed", "-two"),
        ("added", "+2"),
        ("same", " three"),
        ("added", "+four"),
    ]
    assert (found.added, found.removed, found.is_long) == (2, 1, False)


def test_a_line_that_looks_like_the_head_is_a_line() -> None:
    found = differences.between("-- a\nx\n", "++ b\nx\n")
    assert [line.tone for line in found.lines] == ["head", "head", "place", "removed", "added", "same"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", OLD, "is not known"),
        (OLD, "", "no source to compare"),
        (OLD, OLD, "again as it was then"),
        (OLD, OLD.replace("\n", "\r\n"), "ends of its lines"),
        ("x\n" * 6000, "y\n" * 6000, "too long to compare here, with 6000 and 6000 lines"),
    ],
)
def test_what_cannot_be_compared_is_said(old: str, new: str, words: str) -> None:
    found = differences.between(old, new)
    assert found.lines == []
    assert words in found.why_not


def test_a_long_one_is_folded() -> None:
    assert differences.between("x\n" * 50, "y\n" * 50).is_long


def applied_with(text: str) -> None:
    """Applied when its source was another one."""
    checksum = "c" * 64
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL, checksum=checksum)
    if text:
        AppliedSource.objects.create(checksum=checksum, text=text, seen_at=timezone.now())


@pytest.mark.django_db(databases="__all__")
def test_the_page_shows_the_difference_escaped(client_of_ana: Client) -> None:
    source = registry.get(INCREMENT).source
    applied_with(source.replace("migration_name", "# <script>alert(1)</script>\n    migration_name", 1))
    html = client_of_ana.get(address("change")).content.decode()
    assert "0 lines added, 1 removed" in html
    assert '<details class="console-fold" id="console-difference" open>' in html
    assert "<script>alert" not in html
    removed = re.findall(r'<span class="console-diff-removed">(.*?)</span>', html, re.S)
    assert [unescape(each) for each in removed] == ["-    # <script>alert(1)</script>"]


@pytest.mark.django_db(databases="__all__")
def test_the_page_says_when_the_old_source_is_not_known(client_of_ana: Client) -> None:
    applied_with("")
    html = client_of_ana.get(address("change")).content.decode()
    assert "it was applied before sources were kept" in html
    assert "console-difference" not in html


@pytest.mark.django_db(databases="__all__")
def test_an_unchanged_one_shows_no_difference(client_of_ana: Client) -> None:
    checksum = registry.get(INCREMENT).checksum
    ledger.record(INCREMENT, using="default", by="ben", door=Door.SHELL, checksum=checksum)
    html = client_of_ana.get(address("change")).content.decode()
    assert "console-diff" not in html
    assert "sources were kept" not in html

"""How states, times, durations and numbers look, the same on every page."""

from __future__ import annotations

import importlib
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.forms import BoundField
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from console import ansi, appearance, words
from console.appearance import look
from console.tools import migration_url
from data_migrations import clock
from data_migrations.rate import about as about_so_long
from data_migrations.rate import number as per_second

register = template.Library()
_nonce_attr = (
    getattr(importlib.import_module("django.utils.csp"), "nonce_attr", None) if find_spec("django.utils.csp") else None
)


@register.simple_tag
def badge(state: str) -> SafeString:
    """A state as icon, word and colour."""
    seen = look(state)
    return format_html(
        '<span class="console-badge console-tone-{}">'
        '<svg class="console-icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="{}"/></svg>'
        "{}</span>",
        seen.tone,
        seen.icon,
        seen.word,
    )


@register.simple_tag
def migration_page(name: str, database: str) -> str:
    """The address of a data migration's page."""
    return migration_url("change", name, database)


@register.filter
def needed(field: BoundField) -> str:
    """When a field has to be filled in, in words; empty where it need not be."""
    words: dict[str, str] = getattr(field.form, "needed", {})
    # A list without an empty entry cannot be left empty.
    can_be_empty = field.field.widget.use_required_attribute(field.initial)
    return words.get(field.name) or ("required" if field.field.required and can_be_empty else "")


@register.filter
def breakable(name: str) -> SafeString:
    """A name that a narrow place breaks after an underscore."""
    return appearance.breakable(name)


@register.filter
def terminal(line: str) -> SafeString:
    """A line of a log, with its colours."""
    return ansi.html(line)


@register.filter
def ago(when: datetime | None) -> str | SafeString:
    """A moment as "3 minutes ago", with the exact one on hover; "never" for None."""
    if when is None:
        return "never"
    seconds = (timezone.now() - when).total_seconds()
    if -60 < seconds < 60:
        words = "just now" if seconds < 10 else f"{int(seconds)} seconds ago"
    elif seconds < 0:
        words = f"in {timesince(timezone.now(), when, depth=1)}"
    else:
        words = f"{timesince(when, depth=1)} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        clock.aware(when).isoformat(),
        date_format(timezone.localtime(clock.aware(when)), "DATETIME_FORMAT"),
        words,
    )


@register.filter
def moment(when: datetime | None) -> str | SafeString:
    """A moment with its seconds; nothing for None."""
    if when is None:
        return ""
    local = timezone.localtime(clock.aware(when))
    return format_html('<time datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M:%S %Z}")


@register.filter
def starts(when: datetime | None) -> str | SafeString:
    """A moment to come as "in 3 hours, 2026-11-22 02:00 CET", by the site's own clock; "now" for one that is past."""
    now = clock.aware(timezone.now())
    if when is None or clock.aware(when) <= now:
        return "now"
    local = clock.aware(when).astimezone(timezone.get_default_timezone())
    return format_html(
        '<time datetime="{}">in {}, {}</time>',
        local.isoformat(),
        timesince(now, local) if (local - now).total_seconds() >= 60 else "a minute",
        f"{local:%Y-%m-%d %H:%M %Z}",
    )


@register.filter
def at(when: datetime | None) -> str | SafeString:
    """A moment to the minute, by the site's own clock; nothing for None."""
    if when is None:
        return ""
    local = clock.aware(when).astimezone(timezone.get_default_timezone())
    return format_html('<time datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M %Z}")


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Seconds or a timedelta as "12 m 04 s"; nothing for None."""
    return "" if value is None else words.duration(value)


@register.filter
def door(value: str) -> str:
    """Through which door something came, in words."""
    return words.door(value)


@register.filter
def outcome(value: str) -> str:
    """How an attempt ended, in words."""
    return words.outcome(value)


@register.filter
def rate(value: float) -> str:
    """Rows a second to three digits or so: "5,120", "7.3"."""
    return per_second(value)


@register.filter
def about(seconds: float) -> str:
    """A time that is left: "about 1 m 51 s", "less than a second"."""
    return about_so_long(seconds)


@register.filter
def number(value: Any) -> str:
    """A number with its thousands apart; a dash for None."""
    return "–" if value is None else str(intcomma(value))


@register.simple_tag(takes_context=True)
def assets(context: template.Context, kind: str) -> str:
    """The page's styles ("css") or scripts ("js"), with a nonce where Django knows one (6.1 and later)."""
    media = context["media"][kind]
    return str(_nonce_attr(context, media) if _nonce_attr else media)

"""The ways by which notices leave: e-mail through Django, and any service that the Apprise library knows."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.contrib.auth import get_user_model
from django.core import mail
from django.core.mail import EmailMessage

from . import conf
from .masking import Masker

EMAIL = "email"
REQUESTER = "requester"
# What the table of notices can hold.
NAME_LENGTH = 20

INSTALL_APPRISE = 'pip install "django-data-migrations-console[apprise]"'

# Words with which a chat calls everybody: an error message must not.
_CALLS = re.compile(r"@(?=(?:all|channel|everyone|here|room)\b)|<(?=!)", re.IGNORECASE)


class NotSent(Exception):
    """The notice could not be sent this time; it is tried again."""


class NobodyToTell(Exception):
    """There is nobody whom this notice could reach; trying again would not change that."""


def names() -> list[str]:
    """The channels that the settings may name."""
    urls = conf.get("NOTIFY_URLS")
    return [EMAIL, REQUESTER, *(urls if isinstance(urls, dict) else ())]


def usable(channel: str, requester_pk: str) -> bool:
    """Whether there is any use in a notice by that channel, as far as the settings and the run tell."""
    if channel == EMAIL:
        return bool(conf.get("NOTIFY_EMAILS"))
    if channel == REQUESTER:
        return bool(requester_pk)
    return channel in conf.get("NOTIFY_URLS")


def send(channel: str, subject: str, text: str, *, ident: str, requester_pk: str = "") -> None:
    """Send a notice now.

    Args:
        ident: the same for every try of the same notice, so that a mailbox can tell that it has it already.
        requester_pk: the primary key of the user who asked for the run.

    Raises:
        NotSent: with the reason; what secrets the URL of a service has are masked in it.
        NobodyToTell: with the reason.
    """
    if channel == EMAIL:
        _mail(list(conf.get("NOTIFY_EMAILS")), subject, text, ident)
    elif channel == REQUESTER:
        _mail([_address(requester_pk)], subject, text, ident)
    elif channel in conf.get("NOTIFY_URLS"):
        _apprise(conf.get("NOTIFY_URLS")[channel], subject, text)
    else:
        raise NobodyToTell(f"CONSOLE['NOTIFY_URLS'] has no channel {channel!r}.")


def _address(pk: str) -> str:
    """The e-mail address of a user of the site.

    Raises:
        NobodyToTell: there is none.
    """
    model: Any = get_user_model()
    try:
        user = model._default_manager.filter(pk=pk).first() if pk else None
    except (ValueError, TypeError):
        user = None
    if user is None:
        raise NobodyToTell("Who asked for the run is not among the users of this site.")
    if not user.is_active:
        raise NobodyToTell(f"The account of {user.get_username()} is not active.")
    address = str(getattr(user, model.get_email_field_name(), "") or "").strip()
    if not address:
        raise NobodyToTell(f"{user.get_username()} has no e-mail address.")
    return address


def _mail(addresses: list[str], subject: str, text: str, ident: str) -> None:
    if not addresses:
        raise NobodyToTell("CONSOLE['NOTIFY_EMAILS'] is empty.")
    message = EmailMessage(subject, text, None, addresses)
    domain = message.from_email.rpartition("@")[2].strip("<> ") or "localhost"
    message.extra_headers = {
        "Message-ID": f"<{hashlib.sha256(ident.encode()).hexdigest()[:32]}@{domain}>",
        # RFC 3834: nobody's out-of-office is to answer.
        "Auto-Submitted": "auto-generated",
    }
    try:
        # From 6.1 on Django has mailers; the backend of either kind is asked the same.
        backend: Any = mail.mailers.default if hasattr(mail, "mailers") else mail.get_connection()
        if getattr(backend, "timeout", 0) is None:
            backend.timeout = conf.get("NOTIFY_TIMEOUT_SECONDS")
        sent = backend.send_messages([message])
    except Exception as error:
        # Whatever a backend of the site's own raises: smtplib's errors, OSError, those of an HTTP service.
        raise NotSent(f"{type(error).__name__}: {error}") from error
    if sent == 0:
        raise NotSent("The mail backend says that it sent nothing.")


def _apprise(url: str, subject: str, text: str) -> None:
    try:
        import apprise
    except ImportError as error:
        raise NotSent(f"The Apprise library is not installed: {INSTALL_APPRISE}") from error
    mask = Masker(_secrets(url))
    try:
        service = apprise.Apprise()
        if not service.add(url):
            raise NotSent("Apprise does not understand the URL of this channel.")
        result = service.notify(
            body=_CALLS.sub(lambda call: f"{call[0]}\u200b", text),
            title=_CALLS.sub(lambda call: f"{call[0]}\u200b", subject),
            body_format=apprise.NotifyFormat.TEXT,
            interpret_escapes=False,
        )
        said = [entry.message for entry in result.logs() if entry.level in ("WARNING", "ERROR", "CRITICAL")]
    except NotSent:
        raise
    except Exception as error:
        # Any of its many services may raise anything; and its own text may hold the URL.
        raise NotSent(mask.lines(f"{type(error).__name__}: {error}")) from None
    if not result:
        raise NotSent(mask.lines("; ".join(said) or "The service did not take it."))


def _secrets(url: str) -> set[str]:
    """All of a service's URL but the name of the service and of the host: the rest is as a rule tokens."""
    parts = urlsplit(url)
    words = {parts.username or "", parts.password or "", *parts.path.split("/")}
    words |= {value for _, value in parse_qsl(parts.query)} | {url}
    if "." not in (parts.hostname or ""):
        # Of many services the first token stands where others have the host.
        words.add(parts.netloc.rpartition("@")[2])
    known = {"localhost", ""}
    return {way for word in words for way in (word, unquote(word)) if len(way) > 3 and way not in known}

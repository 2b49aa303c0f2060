"""A small mail server in a thread, that can refuse, stall and change its mind."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from django.core import mail

BACKEND = "django.core.mail.backends.smtp.EmailBackend"


class MailServer(socketserver.ThreadingTCPServer):
    """What came is in ``messages``; the answers to the next RCPT commands are taken from ``answers``."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.connections = 0
        # While this is not set the server says nothing, not even hello.
        self.talks = threading.Event()
        self.talks.set()
        self.is_asked = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Conversation(socketserver.StreamRequestHandler):
    """One connection."""

    server: MailServer

    def handle(self) -> None:
        self.server.connections += 1
        self.server.is_asked.set()
        self.server.talks.wait()
        self._say("220 test")
        recipients: list[str] = []
        try:
            while line := self.rfile.readline():
                verb = line.decode().strip()
                if verb.upper().startswith("EHLO"):
                    self._say("250 SMTPUTF8")
                elif verb.upper().startswith("RCPT"):
                    answer = self.server.answers.pop(0) if self.server.answers else "250 OK"
                    recipients.append(verb.partition(":")[2])
                    self._say(answer)
                elif verb.upper() == "DATA":
                    self._say("354 go on")
                    self._take(recipients)
                    self._say("250 OK")
                elif verb.upper() == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 OK")
        except OSError:
            return

    def _take(self, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        parsed: Any = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.server.messages.append(parsed)
        self.server.recipients.append(list(recipients))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def running() -> Iterator[MailServer]:
    """A server that is there for the block."""
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.talks.set()
            server.shutdown()
            thread.join()


def use(settings: Any, port: int, timeout: float | None = None) -> None:
    """Have Django send its mail to that port, in the way of its version."""
    if not hasattr(mail, "mailers"):
        settings.EMAIL_BACKEND = BACKEND
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, timeout
        return
    options = {"host": "127.0.0.1", "port": port} | ({} if timeout is None else {"timeout": timeout})
    settings.MAILERS = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}


def as_code(settings: Any) -> str:
    """A statement that says the same to the settings of another process."""
    if hasattr(mail, "mailers"):
        return f"settings.MAILERS = {getattr(settings, 'MAILERS', {})!r}"
    return f"settings.EMAIL_HOST, settings.EMAIL_PORT = {settings.EMAIL_HOST!r}, {settings.EMAIL_PORT!r}"

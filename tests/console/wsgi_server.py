"""The console under WSGI: ``python -m tests.console.wsgi_server --port 8000``; a thread for each request."""

from __future__ import annotations

import argparse
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.wsgi import get_wsgi_application


class Threaded(ThreadingMixIn, WSGIServer):
    """Browsers ask for several things at once."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Not a word for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    make_server("127.0.0.1", port, get_wsgi_application(), Threaded, Quiet).serve_forever()


if __name__ == "__main__":
    main()

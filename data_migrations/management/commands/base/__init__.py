"""What data migrations inherit from. A package, so that Django does not list it as a command."""

from .idempotent import IdempotentCommand

__all__ = ["IdempotentCommand"]

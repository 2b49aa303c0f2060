"""What data migrations inherit from. A package, so that Django does not list it as a command."""

from .batched import BatchedCommand
from .idempotent import IdempotentCommand

__all__ = ["BatchedCommand", "IdempotentCommand"]

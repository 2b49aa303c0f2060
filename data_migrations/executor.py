"""Having a data migration run, whichever door it came through: from a command, or by the name of one."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from . import arguments, registry
from .execution import Execution
from .reporting import Broadcast, Door, Outcome, Reporter, registered
from .stopping import StopFlag
from .work import RunRequest, Work


def execute(
    work: Work,
    request: RunRequest,
    reporters: Sequence[Reporter],
    stop: StopFlag | None = None,
    *,
    recorded: bool = True,
) -> Outcome:
    """Run ``work`` as asked and tell the reporters.

    Args:
        recorded: tell the reporters of registered factories too (``reporting.register``).

    Raises:
        DataMigrationError: it failed, was refused or was stopped early.
    """
    return prepare(work, request, reporters, stop, recorded=recorded).run()


def prepare(
    work: Work,
    request: RunRequest,
    reporters: Sequence[Reporter],
    stop: StopFlag | None = None,
    *,
    recorded: bool = True,
) -> Execution:
    """The run that ``execute`` carries out, for a caller that does the work in a block of its own."""
    execution = Execution(work, request, Broadcast(reporters), stop or StopFlag())
    if recorded:
        execution.reporter.reporters += registered(execution.info())
    return execution


def run_command(
    command_name: str,
    *,
    using: str = "default",
    values: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    force: bool = False,
    reverse: bool = False,
    wait: bool = True,
    lock_timeout: float | None = None,
    window: str = "wait",
    door: Door = Door.WORKER,
    by: str = "",
    reason: str = "",
    reporters: Sequence[Reporter] = (),
    stop: StopFlag | None = None,
    key: str | None = None,
) -> Outcome:
    """Run a data migration by the name of its command, without a terminal.

    Args:
        values: the command's own arguments by dest, as JSON can hold them.
        key: names the run; a forced one that is delivered again under the same key is done once.
        lock_timeout: seconds to wait for another run; None: as long as it takes.
        window: see ``RunRequest``.

    Raises:
        DataMigrationError: it failed, was refused or was stopped early; ``__cause__`` has the author's error.
    """
    command = registry.get_command(command_name)(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
    options = arguments.to_options(command, values or {})
    command.accept(options)
    request = RunRequest(
        using=using,
        door=door,
        by=by,
        reason=reason,
        dry_run=dry_run,
        force=force,
        reverse=reverse,
        wait=wait,
        lock_timeout=lock_timeout,
        window=window,
        arguments=arguments.masked(command, options),
        secrets=arguments.secrets(command, options),
        key=key or uuid.uuid4().hex,
    )
    return execute(command, request, reporters, stop, recorded=False)

"""A process with Django loaded that forks a child for each line it reads: starts cost milliseconds.

Reads a JSON list of arguments a line, prints the child's pid, and when asked with "wait PID" the exit status.
The child's output goes to the file named first in the list.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def child(arguments: list[str]) -> None:
    # Whoever runs the tests in the background has Ctrl-C ignored, and so would we.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(arguments[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments[1:]])


def wait(pid: int) -> int:
    """The exit status of a child; one that hangs is killed, so that a test fails instead of hanging too."""
    end = time.monotonic() + 120
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from data_migrations import registry

    registry.all_migrations()
    call_command("check", stdout=open(os.devnull, "w"))
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("wait "):
            print(wait(int(line.split()[1])), flush=True)
            continue
        arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(arguments)
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()

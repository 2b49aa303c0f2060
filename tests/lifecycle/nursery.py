"""A process with Django loaded that forks a child for each line it reads: starts cost milliseconds.

Reads a JSON list of arguments a line, prints the child's pid, and when asked with "wait PID" the exit status.
The child's output goes to the file named first in the list.
"""

from __future__ import annotations

import json
import os
import sys


def child(arguments: list[str]) -> None:
    output = os.open(arguments[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments[1:]])


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from data_migrations import registry

    registry.all_migrations()
    call_command("check", databases=[])
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("wait "):
            _, status = os.waitpid(int(line.split()[1]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
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

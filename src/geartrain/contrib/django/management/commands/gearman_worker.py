"""`python manage.py gearman_worker`: the worker with the functions of all applications."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import autodiscover_modules


class Command(BaseCommand):
    """Run a worker with the functions of every application's `gearman.py`."""

    help = "Run a worker with the functions of every application's gearman.py."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `geartrain work`."""
        parser.add_argument(
            "--processes", "-p", type=int, help="child processes; each is replaced when it ends"
        )
        parser.add_argument("--threads", "-t", type=int, default=1, help="concurrent jobs of a process")
        parser.add_argument(
            "--concurrency", "-c", type=int, default=0, help="concurrent coroutines of a process"
        )
        parser.add_argument(
            "--grace", type=float, default=30.0, help="seconds for running jobs to end at a stop"
        )
        parser.add_argument("--max-jobs", type=int, help="jobs after which a process is replaced")
        parser.add_argument("--reload", action="store_true", help="restart when a Python file changes")
        parser.add_argument("--until-eof", action="store_true", help=SUPPRESS)

    def handle(self, **options: Any) -> None:
        """Run until SIGTERM or Ctrl-C."""
        from geartrain.contrib.django import _worker
        from geartrain.parent_watch import exit_with_parent
        from geartrain.worker.pool import Supervisor
        from geartrain.worker.pool.process import ProcessOptions, WorkerProcess

        try:
            work = ProcessOptions(
                options["threads"], options["concurrency"], options["grace"], options["max_jobs"]
            )
            if options["until_eof"]:
                exit_with_parent()
            elif options["processes"] or options["reload"]:
                # The last option marks the child.
                command = [sys.executable, *sys.orig_argv[1:], "--until-eof"]
                folders = [Path.cwd()] if options["reload"] else []
                sys.exit(
                    Supervisor(command, options["processes"] or 1, grace=work.grace, reload=folders).run()
                )
        except ValueError as error:
            raise CommandError(str(error)) from None
        autodiscover_modules("gearman")
        worker = _worker()
        if not worker.functions:
            raise CommandError("no application has a gearman.py that declares a function of the worker")
        self.stderr.write(f"works on {', '.join(worker.functions)} for {', '.join(worker.servers)}")
        sys.exit(WorkerProcess(worker, work).run())

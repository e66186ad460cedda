"""The four calculus workers of the demo, each a process: `geartrain work geartrain.cli.calculus:division`.

A workload is two decimal numbers with a space between them; the result is one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Final

from ..worker import Job, Worker
from .operations import LONGEST_NUMBER
from .servers import servers_of

QUOTIENT_DIGITS: Final = 28
"""Significant digits of a quotient; the other results are exact."""


def _divide(a: Decimal, b: Decimal) -> Decimal:
    if b == 0:
        raise ZeroDivisionError("division by zero")
    with localcontext(prec=QUOTIENT_DIGITS):
        return a / b


def _worker(function: str, operation: Callable[[Decimal, Decimal], Decimal]) -> Worker:
    worker = Worker(servers_of(None), client_id=f"calculus-{function}")

    @worker.function(function)
    def calculate(job: Job) -> str:
        a, b = map(Decimal, job.workload.decode("ascii").split())
        # Enough for a sum of numbers that are as far apart as they can be, and for any product.
        with localcontext(prec=4 * LONGEST_NUMBER):
            # The zero makes -0 a 0.
            return format((operation(a, b) + 0).normalize(), "f")

    return worker


addition = _worker("addition", lambda a, b: a + b)
subtraction = _worker("subtraction", lambda a, b: a - b)
multiplication = _worker("multiplication", lambda a, b: a * b)
division = _worker("division", _divide)

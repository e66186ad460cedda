"""The table of differences names cases that there are, each once, and prints as Markdown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .differences import DIFFERENCES, DOCUMENT, TABLE, markdown, update

HERE = Path(__file__).parent


def test_every_difference_names_a_case() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    cases = set()
    for line in listed.stdout.splitlines():
        case, bracket, variant = line.rpartition("::test_")[2].partition("[")
        if bracket:
            # The server comes first: [gearmand-c-SUBMIT_JOB].
            for kind in ("gearmand-c", "gearmand-perl"):
                if variant.startswith(kind):
                    rest = variant.removeprefix(kind).removeprefix("-")
                    cases |= {(case, kind), (f"{case}[{rest}", kind)}
    assert set(DIFFERENCES) <= cases


def test_a_case_has_one_entry_for_a_server() -> None:
    assert len(DIFFERENCES) == sum(len(difference.cases) for difference in TABLE)
    for case, kind in DIFFERENCES:
        name, bracket, _ = case.partition("[")
        assert not bracket or (name, kind) not in DIFFERENCES


def test_the_table_prints_as_markdown() -> None:
    head, rule, *rows = markdown().splitlines()
    assert {line.replace("\\|", "").count("|") for line in (head, rule, *rows)} == {5}
    assert len(rows) == len(TABLE)


def test_the_document_has_the_table_as_it_is_now() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == update(text), "python -m tests.conformance.differences"

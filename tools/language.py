"""Check the language of comments and docstrings: technical nouns, not paraphrases.

    python tools/language.py            # exit code 1 if a limit is exceeded
    python tools/language.py --list     # each place that counts towards a limit

The limits and the way to stay under them are in CONTRIBUTING.md, "Plain English".
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDERS = ("src",)
DOCS = ("README.md", "CONTRIBUTING.md", "docs")
LIMITS = {
    "what": (re.compile(r"\bwhat\b", re.IGNORECASE), 3.0),
    "who": (re.compile(r"\b(?:who|whom|whose|nobody|somebody|whoever|anybody)\b", re.IGNORECASE), 1.0),
}
"""Pattern and highest number of matches in 1,000 words."""
BAD_BEGINNINGS = ("What ", "That ", "Who ", "Whoever ", "Nobody ", "Somebody ")


class Prose(NamedTuple):
    """One comment or docstring."""

    path: Path
    line: int
    text: str
    is_docstring: bool


def prose_of(path: Path) -> Iterator[Prose]:
    """Yield the comments and docstrings of a Python file, attribute docstrings included."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(path, token.start[0], token.string.lstrip("#! "), is_docstring=False)
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value.value, str):
                yield Prose(path, statement.lineno, statement.value.value.strip(), is_docstring=True)


def prose_of_page(path: Path) -> Iterator[Prose]:
    """Yield the paragraphs of a Markdown page without its code."""
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith("    "):
            yield Prose(path, number, re.sub(r"`[^`]*`", "", line), is_docstring=False)


def check(name: str, prose: list[Prose], *, show: bool) -> bool:
    """Print the figures of one body of text; return whether it is within the limits."""
    words = sum(len(re.findall(r"[A-Za-z']+", piece.text)) for piece in prose) or 1
    is_good = True
    for word, (pattern, limit) in LIMITS.items():
        places = [(piece, match) for piece in prose for match in pattern.finditer(piece.text)]
        rate = 1000 * len(places) / words
        print(f"{name}: {word} {rate:.2f} in 1,000 words (at most {limit:g}; {len(places)} in {words:,})")
        is_good &= rate <= limit
        if show:
            for piece, match in places:
                line = piece.line + piece.text.count("\n", 0, match.start())
                around = piece.text[max(0, match.start() - 40) : match.end() + 40].replace("\n", " ")
                print(f"  {piece.path}:{line}: …{around}…")
    for piece in prose:
        if piece.is_docstring and piece.text.startswith(BAD_BEGINNINGS):
            print(f"{piece.path}:{piece.line}: a docstring begins with a verb or a noun: {piece.text[:60]!r}")
            is_good = False
    return is_good


def main() -> int:
    """Check the sources and the docs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print each match")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders instead of src and the docs")
    options = parser.parse_args()
    sources = [file for path in options.paths or map(Path, FOLDERS) for file in _files(path, ".py")]
    pages = [file for path in options.paths or map(Path, DOCS) for file in _files(path, ".md")]
    is_good = True
    if sources:
        prose = [piece for file in sources for piece in prose_of(file)]
        is_good &= check("sources", prose, show=options.list)
    if pages:
        prose = [piece for file in pages for piece in prose_of_page(file)]
        is_good &= check("docs", prose, show=options.list)
    return 0 if is_good else 1


def _files(path: Path, suffix: str) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == suffix else []
    return sorted(path.rglob("*" + suffix))


if __name__ == "__main__":
    sys.exit(main())

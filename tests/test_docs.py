"""The examples of the pages are what the commands print: blocks that begin with ``$ kafsim``.

``pytest tests/test_docs.py --update-docs`` writes what they print now into the pages. A command may end in
``| grep WORD`` or ``| head -N``, which are done here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```console\n(\$ kafsim [^\n]*)\n(.*?)```", re.DOTALL)
PAGES = [path for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text())]


def output(command: str) -> str:
    first, *filters = command.removeprefix("$ ").split(" | ")
    done = subprocess.run(
        [sys.executable, "-m", *first.split()], cwd=DOCS.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    lines = done.stdout.splitlines()
    for one in filters:
        word, argument = one.split(" ", 1)
        lines = _grep(lines, argument) if word == "grep" else lines[: -int(argument)]
    return "".join(f"{line}\n" for line in lines)


def _grep(lines: list[str], argument: str) -> list[str]:
    """As ``grep -E``, but a reason stays with the line that it explains."""
    kept: list[str] = []
    taken = False
    for line in lines:
        is_reason = line.lstrip().startswith("because ")
        taken = taken if is_reason else re.search(argument.strip("'"), line) is not None
        if taken:
            kept.append(line)
    return kept


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_examples_are_what_the_commands_print(page: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text()
    fresh = BLOCK.sub(lambda found: f"```console\n{found[1]}\n{output(found[1])}```", text)
    if request.config.getoption("--update-docs"):
        page.write_text(fresh)
    assert fresh == text or request.config.getoption("--update-docs")

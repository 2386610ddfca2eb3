"""``kafsim``: the commands, and how trouble is told."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from kafsim import __version__
from kafsim.cli.errors import EXPECTED, INTERRUPTED, VIOLATION, WRONG_USE, UsageError

app = App(
    name="kafsim",
    help="A whole replicated Kafka cluster in one Python process, on a clock you control.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
app.command("kafsim.cli.run:run")
app.command("kafsim.cli.scenarios:scenarios")
app.command("kafsim.cli.why:why")
app.command("kafsim.cli.compare:compare")
app.command("kafsim.cli.inspect:describe")
app.command("kafsim.cli.inspect:log")
app.command("kafsim.cli.inspect:check")
app.command("kafsim.cli.dump_log:dump_log")


def call(tokens: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as error:
        print(f"kafsim: {_one_line(str(error))}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print("kafsim: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else EXPECTED


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """The entry point."""
    from kafsim.cluster.errors import RunError  # noqa: PLC0415  # help and usage errors need no trio

    try:
        code = call(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = VIOLATION
    except RunError as error:
        print(f"kafsim: {type(error).__name__}: {error}", file=sys.stderr)
        code = VIOLATION
    sys.exit(code)

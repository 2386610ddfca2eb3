"""``kafsim``: the commands, and how trouble is told."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from kafsim import __version__
from kafsim.cli.errors import CLOSED_PIPE, EXPECTED, INTERRUPTED, VIOLATION, WRONG_USE, StoryFailed, UsageError

app = App(
    name="kafsim",
    help="A whole replicated Kafka cluster in one Python process, on a clock you control.\n\n"
    "Exit codes: 0 as expected, 1 a violation or a difference, 2 wrong use, 130 interrupted.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
COMMANDS = {
    "run:run": "Run a scenario, a plan or a story and tell what happens, with the reason for each decision.",
    "scenarios:scenarios": "List the scenarios there are.",
    "why:why": "Tell what led to a fact of a recorded run, or list its decisions.",
    "inspect:describe": "Print the topics of a recorded run as kafka-topics --describe does.",
    "inspect:log": "Print the logs of one broker in a recorded run.",
    "inspect:check": "Check every invariant of replication on a recorded run.",
    "compare:compare": "Replay what a real Apache Kafka did and print every difference.",
    "dump_log:dump_log": "Print the segments in a folder as Kafka's own tool does.",
}
for _where, _what in COMMANDS.items():
    app.command(f"kafsim.cli.{_where}", help=_what)


def call(tokens: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as error:
        print(f"kafsim: {_one_line(str(error))}", file=sys.stderr)
        return WRONG_USE
    except StoryFailed as error:
        print(f"kafsim: {_one_line(str(error))}", file=sys.stderr)
        return VIOLATION
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
        code = CLOSED_PIPE
    except RunError as error:
        print(f"kafsim: {type(error).__name__}: {error}", file=sys.stderr)
        code = VIOLATION
    except OSError as error:
        print(f"kafsim: cannot write: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = WRONG_USE
    sys.exit(code)

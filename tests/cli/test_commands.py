"""The command line as a shell sees it: what is printed, where, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kafsim as package


def kafsim(*arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kafsim", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_ping_is_told_and_can_be_repeated():
    first, again = kafsim("run", "ping", "--seed", "3"), kafsim("run", "ping", "--seed", "3")
    assert first.stdout == again.stdout
    assert "PingGivenUp number=11\n" in first.stdout
    assert "because the connection broke while ping 11 was under way" in first.stdout
    assert "repeat with: kafsim run ping --seed 3" in first.stdout
    assert kafsim("run", "ping", "--seed", "4").stdout != first.stdout


def test_json_is_one_object():
    about = json.loads(kafsim("run", "ping", "--seed", "3", "--json").stdout)
    assert about["scenario"] == "ping"
    assert about["seed"] == 3
    assert about["virtual_seconds"] == 6.0


def test_scenarios_are_listed_with_name_and_summary():
    listed = json.loads(kafsim("scenarios", "--json").stdout)
    assert all(set(entry) == {"name", "summary"} for entry in listed)
    assert "ping" in {entry["name"] for entry in listed}


def test_why_tells_the_chain_of_causes(tmp_path):
    path = str(tmp_path / "ping.ktrace")
    kafsim("run", "ping", "--trace", path, "--quiet")
    answered = kafsim("why", path, "8").stdout
    assert "led to by:" in answered
    assert "Ping from ping-1 (ping)" in answered


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "pnig"], "unknown scenario 'pnig'; did you mean 'ping'?"),
        (["run", "ping", "--sed", "3"], "Unknown option: --sed. Did you mean --seed?"),
        (["run", "ping", "--seed", "x"], 'Invalid value for --seed: unable to convert "x" into int.'),
        (["rnu", "ping"], 'Unknown command "rnu". Did you mean "run"?'),
        (["why", "nothing.ktrace", "0"], "cannot read nothing.ktrace: No such file or directory"),
        (["why", sys.executable, "0"], "is not a kafsim trace"),
        (["run", "ping", "--trace", "no/such/folder"], "cannot write no/such/folder"),
    ],
)
def test_wrong_use_is_one_clear_line_on_stderr_and_exit_code_2(arguments, message, tmp_path):
    done = kafsim(*arguments, code=2, cwd=tmp_path, env=environment())
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def environment() -> dict[str, str]:
    """So that the package is found from another folder, installed or not."""
    return {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}


def test_a_fact_that_is_not_there_is_wrong_use(tmp_path):
    path = str(tmp_path / "ping.ktrace")
    kafsim("run", "ping", "--trace", path, "--quiet")
    assert "there is no fact 99999" in kafsim("why", path, "99999", code=2).stderr


def test_a_trace_cut_off_in_a_row_can_be_read(tmp_path):
    path = tmp_path / "ping.ktrace"
    kafsim("run", "ping", "--trace", str(path), "--quiet")
    path.write_bytes(path.read_bytes()[:-3])
    assert kafsim("why", str(path), "-1").stdout


SEGMENTS = Path(__file__).parent.parent / "data" / "segments"


def test_dump_log_prints_what_kafkas_own_tool_prints():
    folder = SEGMENTS / "clean_stop" / "s-plain-0"
    lines = kafsim("dump-log", str(folder)).stdout.replace(f"{folder}/", "").splitlines()
    expected = [line for path in sorted(folder.glob("*.dump")) for line in path.read_text().splitlines() if line]
    assert sorted(lines) == sorted(expected)


@pytest.mark.parametrize("what", ["nowhere", "README.md", "docs"])
def test_dump_log_of_something_else_is_wrong_use(what):
    done = kafsim("dump-log", what, code=2, cwd=Path(__file__).parent.parent.parent)
    assert done.stderr.count("\n") == 1

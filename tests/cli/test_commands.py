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
        (["run", "ping", "--seed", "x"], "Invalid value for --seed: 'x' is no whole number"),
        (["run", "ping", "--seed", "1.5"], "Invalid value for --seed: '1.5' is no whole number"),
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


def test_lines_of_a_file_survive_a_killed_leader(tmp_path):
    source = tmp_path / "lines.txt"
    source.write_text("".join(f"line {number}\n" for number in range(30)))
    about = json.loads(kafsim("run", "leader-killed", "--input", str(source), "--json").stdout)
    assert about["verdict"] == about["expected"] == "ok"
    assert (about["sent"], about["acked"], about["read"]) == (30, 30, 30)
    assert about["lost"] == about["duplicated"] == about["reordered"] == 0
    told = kafsim("run", "leader-killed", "--input", str(source)).stdout
    assert "is elected in leader epoch 1" in told
    assert "because broker 1 is fenced" in told


def test_keys_come_from_the_lines():
    done = kafsim("run", "leader-killed", "--input", "-", "--key-separator", ":", "--json", input="k1:a\nk2:b\n")
    assert json.loads(done.stdout)["acked"] == 2
    kafsim("run", "leader-killed", "--input", "-", "--key-separator", ":", input="no key\n", code=2)


def test_a_trace_is_described_read_and_checked(tmp_path):
    path = str(tmp_path / "run.ktrace")
    kafsim("run", "leader-killed", "--trace", path, "--quiet")
    described = kafsim("describe", path).stdout
    assert "\tTopic: orders\tPartition: 0\tLeader: 2\tReplicas: 1,2,3\tIsr: 1,2,3\tElr: \tLastKnownElr: " in described
    assert "orders-0: start 0, end 20, high watermark 20" in kafsim("log", path, "1").stdout
    assert "31 invariants hold" in kafsim("check", path).stdout
    assert "4 has no logs" in kafsim("log", path, "4", code=2).stderr


def test_another_verdict_than_expected_is_exit_code_1():
    assert "lost (as expected)" in kafsim("run", "leader-killed-acks1", "--quiet").stdout
    kafsim("run", "idempotence-off", "--set", "enable.idempotence=true", "--quiet", code=1)


def test_plans_and_stories_run_from_files(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('[[topics]]\nname = "t"\n[[loads]]\ntopic = "t"\ncount = 3\n')
    assert json.loads(kafsim("run", str(plan), "--json").stdout)["acked"] == 3
    story = tmp_path / "story.py"
    story.write_text('async def story(cluster):\n    await cluster.admin.create_topic("t")\n')
    assert json.loads(kafsim("run", str(story), "--json").stdout)["verdict"] == "ok"
    story.write_text("def story(:\n")
    assert kafsim("run", str(story), code=2).stderr == f"kafsim: {story}, line 1: invalid syntax\n"
    plan.write_text("sed = 1\n")
    assert "a plan has no 'sed'" in kafsim("run", str(plan), code=2).stderr


def test_a_fault_that_finds_nobody_is_told():
    told = kafsim("run", "leader-killed", "--kill", "leader:order-0@0.3").stdout
    assert "cannot kill leader:order-0: order-0 has no leader" in told
    assert "faults       1 found nobody" in told
    twice = kafsim("run", "leader-killed", "--kill", "2@0.3", "--kill", "2@0.4", "--json").stdout
    assert json.loads(twice)["skipped_faults"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "acsk=1"], "unknown setting 'acsk'; did you mean 'acks'?"),
        (["--kill", "ledaer:orders-0@1"], "unknown role 'ledaer'; did you mean 'leader'?"),
        (["--kill", "leader:orders-0"], "--kill takes a node and a time"),
        (["--kill", "9@1"], "kill 9: there is no broker 9; there are 1, 2, 3"),
        (["--kill", "consumer:0@1"], "'consumer:0' names nobody; try consumer:1"),
        (["--cut", "1,broker:8@1..2", "--brokers", "7"], "there is no broker 8; there are 1 to 7"),
        (["--cut", "1@2"], "--cut takes A,B@T1..T2"),
        (["--input", "nothing.txt"], "cannot read nothing.txt: No such file or directory"),
        (["--brokers", "0"], "--brokers must be from 1 to 100, not 0"),
    ],
)
def test_wrong_use_of_run_is_one_line(arguments, message):
    done = kafsim("run", "leader-killed", *arguments, code=2)
    assert message in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_compare_agrees_and_differs(tmp_path):
    history = Path(__file__).parents[1] / "data" / "histories" / "leader_killed.json"
    assert "agrees       leader_killed: 30 fields" in kafsim("compare", str(history)).stdout
    changed = tmp_path / "changed.json"
    changed.write_text(history.read_text().replace('"leader_epoch": 1', '"leader_epoch": 7'))
    assert "leader_epoch is 1, Kafka has 7" in kafsim("compare", str(changed), code=1).stdout
    assert "is not JSON" in kafsim("compare", __file__, code=2).stderr


def test_a_run_that_is_broken_off_leaves_a_trace(tmp_path):
    story, trace = tmp_path / "long.py", tmp_path / "long.ktrace"
    story.write_text(
        "import os, signal\n"
        "async def story(cluster):\n"
        '    await cluster.admin.create_topic("t")\n'
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await cluster.advance(1_000_000)\n"
    )
    done = kafsim("run", str(story), "--quiet", "--trace", str(trace), code=130)
    assert done.stderr == "kafsim: interrupted\n"
    assert "Topic: t\t" in kafsim("describe", str(trace)).stdout


def test_consumers_take_settings_and_who_is_refused_for_good_ends_nothing():
    """A static member that was killed still has its instance id in the consumer protocol, until its session is over."""
    told = kafsim("run", "group-static", "--set", "group.protocol=consumer").stdout
    assert "with UNRELEASED_INSTANCE_ID" in told
    assert "because consumer-2 has the instance id billing-2 and has not left" in told
    assert "verdict      ok" in told
    refused = kafsim("run", "group-lag", "--set", "group.protocol=consumer", code=2).stderr
    assert "session.timeout.ms cannot be set when group.protocol=CONSUMER" in refused


def test_what_a_group_waits_for_is_told(tmp_path):
    """A consumer that is refused for good keeps its plan from an end, in which nothing is known to be lost."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'topics = [{name = "t"}]\nloads = [{topic = "t", count = 5}]\n[[readers]]\ntopic = "t"\ngroup = "g"\n'
        'settings = {"group.protocol" = "consumer", "group.remote.assignor" = "mine"}\n'
    )
    told = kafsim("run", str(plan), code=1).stdout
    assert "g: is refused for good: UNSUPPORTED_ASSIGNOR" in told
    assert "stuck        consumer-1 was refused for good with UNSUPPORTED_ASSIGNOR; " in told
    assert "and every group to be Stable" in told
    assert "lost 0, duplicated 0" in told


def test_partitions_that_nobody_reads_any_more_are_told():
    told = kafsim("run", "group-static", "--set", "group.protocol=consumer", "--quiet").stdout
    assert "abandoned    billing: 2 of 4 partitions are read by nobody at the end" in told
    assert "abandoned" not in kafsim("run", "group-static", "--quiet").stdout


def test_a_plan_s_consumers_take_settings(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('topics = [{name = "t"}]\nloads = [{topic = "t"}]\nreaders = [{topic = "t", group = "g"}]\n')
    assert "g: has t-0 in generation 1" in kafsim("run", str(plan)).stdout
    assert "g: has t-0 in epoch 2" in kafsim("run", str(plan), "--set", "group.protocol=CONSUMER").stdout
    refused = kafsim("run", str(plan), "--set", "group.id=other", code=2).stderr
    assert "--set group.id does not go with a plan, whose readers name their groups" in refused


def test_what_acks_0_loses_is_counted_as_missing():
    about = json.loads(kafsim("run", "leader-killed", "--set", "acks=0", "--json").stdout)
    assert (about["acked"], about["unacknowledged"], about["lost"]) == (0, 20, 0)
    assert about["missing"] == 20 - about["read"] > 0


def test_errors_of_failed_records_are_told(tmp_path):
    """Of long records: a batch of two very short ones is split for ever, as in Kafka, until its time is over."""
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"a rather long record, number {number}\n" for number in range(20)))
    told = kafsim("run", "leader-killed", "--input", str(lines), "--set", "topic.max.message.bytes=10").stdout
    assert "failed with MESSAGE_TOO_LARGE: 20" in told


def test_a_trace_that_breaks_off_is_told_and_its_decisions_are_listed(tmp_path):
    whole, part = tmp_path / "whole.ktrace", tmp_path / "part.ktrace"
    kafsim("run", "leader-killed", "--quiet", "--trace", str(whole))
    assert kafsim("check", str(whole)).stderr == ""
    listed = kafsim("why", str(whole)).stdout
    number = next(line.split()[0] for line in listed.splitlines() if "LeaderElected" in line)
    assert "LeaderElected" in kafsim("why", str(whole), number).stdout
    part.write_bytes(whole.read_bytes()[:5_000])
    assert "breaks off after" in kafsim("check", str(part)).stderr


def test_a_reader_that_goes_away_is_no_violation():
    command = f"{sys.executable} -m kafsim run leader-killed | head -1 > {os.devnull}; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", command], check=False, capture_output=True).returncode == 141


def test_every_command_has_a_line_in_the_help():
    told = kafsim("--help").stdout
    for name in ("run", "scenarios", "why", "describe", "log", "check", "compare", "dump-log"):
        assert any(line.split("│")[1].split()[0] == name for line in told.splitlines() if "│" in line), name


def test_a_kill_at_a_fact():
    told = kafsim("run", "leader-killed", "--kill", "teller@BecameLeader:2")
    assert "lost 0" in told.stdout
    wrong = kafsim("run", "leader-killed", "--kill", "1@BecameLeader2", code=2)
    assert "there is no fact 'BecameLeader2'; did you mean 'BecameLeader'?" in wrong.stderr


@pytest.mark.parametrize("story", ["group-rebalance", "group-cooperative", "group-lag", "group-auto-commit"])
def test_stories_of_groups_go_on_without_a_member_that_was_killed(story):
    assert "lost 0" in kafsim("run", story, "--kill", "consumer:1@3").stdout


def test_a_story_whose_subject_was_killed_says_so():
    wrong = kafsim("run", "group-slow-poll", "--kill", "consumer:1@0.2", code=2)
    assert "kafsim: group-slow-poll: consumer-1 is not running" in wrong.stderr
    assert "Traceback" not in wrong.stderr

"""Wrong use is one line on stderr that names the mistake, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafsim.cli.main import call

OPTIONS = [
    (["--set", "max.in.flight.requests.per.connection=6"], "max.in.flight.requests.per.connection must be set to at"),
    (["--set", "enable.idempotence=true", "--set", "acks=1"], "Must set acks to all"),
    (["--set", "delivery.timeout.ms=10"], "delivery.timeout.ms should be equal to or larger"),
    (["--set", "replica.lag.time.max.ms=100"], "replica.fetch.wait.max.ms should always be less"),
    (["--set", "broker.heartbeat.interval.ms=0"], "Value must be at least 1"),
    (["--set", "broker.session.timeout.ms=2000"], "broker.session.timeout.ms must be larger"),
    (["--set", "consumer.acks=1"], "a consumer has no setting 'acks'; a producer has it"),
    (["--set", "session.timeout.ms=7000"], "leader-killed has no consumers that would take session.timeout.ms"),
    (["--input", __file__, "--key-separator", ""], "--key-separator must not be empty"),
    (["--key-separator", ":"], "--key-separator divides the lines of --input"),
    (["--input", __file__, "--trace", __file__], "--trace would overwrite the input"),
]
PLANS = [
    ('brokers = "3"', "brokers must be a whole number, not '3'"),
    ("brokers = 2.0", "brokers must be a whole number, not 2.0"),
    ("brokers = 0", "brokers must be from 1 to 100, not 0"),
    ("brokers = true", "brokers must be a whole number, not True"),
    ("until = inf", "until must be a number, not inf"),
    ("until = nan", "until must be a number, not nan"),
    ("until = -1", "until must be from 0.001 to 1e+06, not -1"),
    ("seed = 1.5", "seed must be a whole number, not 1.5"),
    ('racks = ["a"]', "3 brokers need as many racks, not 1"),
    ('racks = "abc"', "racks must be a list, not 'abc'"),
    ('configs = ["a"]', "configs must be a table of names and values"),
    ('[configs]\n"replica.lag.time.max.m" = 1', "did you mean 'replica.lag.time.max.ms'?"),
    ("topics = 3", "topics must be a list, not 3"),
    ("[[topics]]\npartitions = 1", "a topic needs a name"),
    ('[[topics]]\nname = "t"\npartitions = 1\nassignment = [[1]]', "either partitions or an assignment"),
    ("[[loads]]\ncount = 1", "a load needs a topic"),
    ('[[loads]]\ntopic = "orders"\nevery_ms = "x"', "every_ms must be a number, not 'x'"),
    ('[[loads]]\ntopic = "orders"\ncount = -1', "count must be from 1"),
    ('[[loads]]\ntopic = "orders"\nsettings = [1]', "settings must be a table of names and values"),
    ('[features]\n"eligible.leader.replicas.version" = "1"', "features must be a table, each a whole number"),
    ('[features]\n"eligible.leader.replicas.versio" = 1', "did you mean 'eligible.leader.replicas.version'?"),
    ('[features]\n"eligible.leader.replicas.version" = 7', "has the levels 0 to 1, not 7"),
    ('[[readers]]\ntopic = "orders"\nsettings = {"group.id" = "g"}', "a reader has its group in `group`"),
    ("[operations]\nat = 1", "operations must be a list"),
    ('[[operations]]\nat = 1\ndo = "kil"\narguments = [1]', "unknown operation 'kil'; did you mean 'kill'?"),
    ('[[operations]]\nat = 1\ndo = "kill"\narguments = "1"', "arguments must be a list, not '1'"),
    ('[[operations]]\nat = 1\ndo = "kill"\narguments = [1]\nwhom = 3', "an operation has no 'whom'"),
    ('[[operations]]\nat = 1\ndo = "cut"\narguments = [1, 1]', "cut takes two nodes, not 1 twice"),
    ('[[operations]]\nat = 1\ndo = "kill"\narguments = ["leader:t-0"]', "the plan has no topic 't'; there are orders"),
    ('[[operations]]\nat = 1\ndo = "slow_disk"\narguments = [1, 1e300]', "slow_disk takes milliseconds"),
    ("[safeguards]\nuse_maximal_is = false", "did you mean 'use_maximal_isr'?"),
    ("[safeguards]\nuse_maximal_isr = 0", "use_maximal_isr must be true or false, not 0"),
]
NO_STORY = "has no `async def story(cluster)`"
STORIES = [
    ("def story(cluster): ...", 2, NO_STORY),
    ("async def story(): ...", 2, NO_STORY),
    ("import nope", 2, "line 1: ModuleNotFoundError"),
    ("BROKERS = 0\nasync def story(cluster): ...", 2, "a cluster needs a broker, not 0"),
    ("async def story(cluster):\n    cluster.kil(1)", 1, "line 2: AttributeError"),
    ("async def story(cluster):\n    cluster.kill(9)", 1, "line 2: UnknownNode: there is no broker 9"),
    ('async def story(cluster):\n    assert 1 == 2, "no"', 1, "line 2: AssertionError: no"),
    ("import sys\nasync def story(cluster):\n    sys.exit(3)", 1, "line 3: SystemExit: 3"),
    ('async def story(cluster):\n    cluster.producer(ack="all")', 1, "did you mean 'acks'?"),
    ('async def story(cluster):\n    cluster.producer().send("t", 3)', 1, "line 2: TypeError: a key or value is"),
    (
        'async def story(cluster):\n    await cluster.admin.create_topic("t", replication_factor=9)',
        1,
        "line 2: KafkaError",
    ),
]


def assert_fails(capsys: pytest.CaptureFixture[str], code: int, message: str, *arguments: str) -> None:
    assert call(["run", *arguments]) == code
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options(capsys, options, message):
    assert_fails(capsys, 2, message, "leader-killed", *options)


@pytest.mark.parametrize(("name", "least"), [("isr-forgotten", 2), ("preferred-leader", 2), ("slow-follower", 3)])
def test_a_story_with_too_few_brokers(capsys, name: str, least: int):
    assert_fails(
        capsys, 2, f"{name} needs {least} brokers at least, not {least - 1}", name, "--brokers", f"{least - 1}"
    )


@pytest.mark.parametrize(("text", "message"), PLANS)
def test_plans(capsys, tmp_path: Path, text: str, message: str):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    assert_fails(capsys, 2, message, str(path), "--quiet")


@pytest.mark.parametrize(("text", "code", "message"), STORIES)
def test_stories(capsys, tmp_path: Path, text: str, code: int, message: str):
    path = tmp_path / "story.py"
    path.write_text(text)
    assert_fails(capsys, code, message, str(path), "--quiet")


@pytest.mark.parametrize("name", ["time.time", "random.random"])
@pytest.mark.parametrize("imports", ["import {0}", "from {0} import {1}"])
def test_the_guard_sees_what_a_story_imports_by_either_way(tmp_path: Path, name: str, imports: str):
    from kafsim.cluster.errors import Nondeterminism  # noqa: PLC0415

    module, _, function = name.partition(".")
    used = function if imports.startswith("from") else name
    path = tmp_path / "story.py"
    path.write_text(f"{imports.format(module, function)}\nasync def story(cluster):\n    {used}()\n")
    with pytest.raises(Nondeterminism, match=name):
        call(["run", str(path), "--quiet"])

"""What a broker refuses of a change of its settings, in Kafka's words (recorded from Apache Kafka 4.3)."""

from __future__ import annotations

import pytest

from kafsim.broker.config_admin import check_values
from kafsim.protocol import dynamic_config as dynamic
from kafsim.protocol.config import BROKER, ConfigError


@pytest.mark.parametrize(
    ("values", "is_default", "message"),
    [
        ({"broker.id": "4"}, False, "Cannot update these configs dynamically: [broker.id]"),
        ({"log.dirs": "/x"}, False, "Cannot update these configs dynamically: [log.dirs]"),
        (
            {"listeners": "PLAINTEXT://:1"},
            True,
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
        ),
        (
            {"num.io.threads": "0"},
            True,
            "Invalid value 0 for configuration num.io.threads: Value must be at least 1",
        ),
        (
            {"num.io.threads": "many"},
            True,
            "Invalid value many for configuration num.io.threads: Not a number of type INT",
        ),
        (
            {"log.retention.ms": "0"},
            False,
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        (
            {"ssl.keystore.location": "/x"},
            False,
            (
                "These security configs can be dynamically updated only per-listener using the listener prefix: "
                "[ssl.keystore.location]"
            ),
        ),
    ],
)
def test_refused(values, is_default, message):
    with pytest.raises(ConfigError) as error:
        check_values(values, is_default=is_default)
    assert str(error.value) == message


@pytest.mark.parametrize("values", [{"no.such.key": "1"}, {"log.retention.ms": "70000"}, {"listeners": "A://:1"}])
def test_taken_by_one_broker(values):
    check_values(values, is_default=False)


def test_every_setting_of_a_broker_has_its_way_of_changing():
    kinds = (dynamic.CLUSTER_WIDE, dynamic.PER_BROKER, dynamic.STORES, dynamic.READ_ONLY)
    assert [name for name in BROKER.names() if sum(name in kind for kind in kinds) != 1] == []

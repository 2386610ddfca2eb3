"""How thorough the property tests are: ``--profile quick`` (the default), ``ci`` or ``large``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

EXAMPLES = {"quick": 25, "ci": 100, "large": 5_000}
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

for _name, _examples in EXAMPLES.items():
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, derandomize=_name != "large", suppress_health_check=SLOW
    )


def pytest_addoption(parser):
    parser.addoption("--profile", choices=EXAMPLES, default="quick", help="how many examples property tests run")
    parser.addoption("--update-docs", action="store_true", help="write what the examples of the pages print now")


def pytest_configure(config):
    settings.load_profile(config.getoption("--profile"))

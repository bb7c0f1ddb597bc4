"""File, then environment, then flags; unknown keys are refused with a hint."""

import re
from pathlib import Path

import pytest

from logd.broker.config import (
    BrokerConfig,
    is_every_address,
    is_loopback,
    load_config,
    split_address,
    takes,
)
from logd.model.errors import InvalidConfig


def test_defaults() -> None:
    config = load_config(None, {}, {})
    assert config == BrokerConfig()
    assert (config.listen, config.data_dir, config.metadata) == (
        "127.0.0.1:9600",
        "./logd-data",
        "sqlite",
    )


def test_each_layer_lies_over_the_last(tmp_path: Path) -> None:
    file = tmp_path / "logd.toml"
    file.write_text('data_dir = "file"\nrack = "file"\nbroker_id = 3\n')
    environment = {"LOGD_RACK": "environment", "LOGD_LOG_LEVEL": "debug", "HOME": "x"}
    config = load_config(file, environment, {"log_level": "error"})
    assert (config.data_dir, config.rack, config.broker_id, config.log_level) == (
        "file",
        "environment",
        3,
        "error",
    )


def test_numbers_come_as_text_from_environment_and_flags() -> None:
    assert load_config(None, {"LOGD_BROKER_ID": "7"}, {"drain_timeout_ms": "250"}).broker_id == 7


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('data_dirr = "x"', "did you mean 'data_dir'?"),
        ("zzz = 1", "known are data_dir"),
        ("broker_id = -1", "broker_id"),
        ("broker_id = 'a'", "broker_id is 'a', but takes 0 to 1073741824"),
        ("drain_timeout_ms = 3600001", "takes 0 to 3600000"),
        ('log_level = "loud"', "log_level is 'loud', but takes debug or info or warning or error"),
        ("rack = 5", "rack is '5', but takes text"),
        ("data_dir = ''", "data_dir is '', but takes a path"),
        ("data_dir = [", "cannot read"),
        ('listen = "nowhere"', "HOST:PORT"),
        ('listen = "h:99999"', "HOST:PORT"),
        ('listen = ""', "HOST:PORT"),
        ('listen = "http://h:1"', "HOST:PORT"),
        ('listen = "h:\\uff11"', "HOST:PORT"),
        ('listen = "::1:9600"', "takes an IPv6 address in brackets: [::1]:9600"),
        ('advertise = "fe80::1:9600"', "takes an IPv6 address in brackets: [fe80::1]:9600"),
        ('flight_listen = ":::9600"', "takes an IPv6 address in brackets: [::]:9600"),
        ('advertise = "h:0"', "an address that clients can connect to"),
        ('advertise = "0.0.0.0:9600"', "an address that clients can connect to"),
        ('metadata = "paper"', "sqlite"),
    ],
)
def test_bad_files_are_refused_with_what_to_do(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "logd.toml"
    file.write_text(text)
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, {}, {})
    assert hint in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot read"):
        load_config(tmp_path / "none.toml", {}, {})


def test_near_misses_in_the_environment_are_refused_and_others_left_alone() -> None:
    with pytest.raises(InvalidConfig, match="did you mean LOGD_DATA_DIR"):
        load_config(None, {"LOGD_DATADIR": "x"}, {})
    orchestrator = {
        "LOGD_SERVICE_HOST": "10.0.0.1",
        "LOGD_PORT_9600_TCP": "x",
        "LOGD_BOOTSTRAP": "b",
    }
    assert load_config(None, orchestrator, {}) == BrokerConfig()


def test_addresses() -> None:
    assert split_address("[::1]:9600") == ("[::1]", 9600)
    assert split_address("host:0") == ("host", 0)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "logd.toml"
    file.write_text("lissen = 'x'\nrack = 1\n")
    environment = {"LOGD_BROKER_ID": "x", "LOGD_DATADIR": "x", "LOGD_LOG_LEVEL": "loud"}
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, environment, {"listen": "nowhere", "drain_timeout_ms": "-1"})
    wrong = "lissen, LOGD_DATADIR, listen, broker_id, rack, log_level, drain_timeout_ms"
    assert caught.value.details["field"] == wrong
    for name in wrong.split(", "):
        assert name in caught.value.message


def test_long_values_are_cut() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_config(None, {}, {name: "x:" * 5000 for name in ("listen", "advertise", "log_level")})
    assert len(caught.value.message) < 1000


def test_the_page_says_what_each_setting_takes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", page, re.MULTILINE)
    documented = {name: text.replace("`", "") for name, text in rows}
    assert documented == {name: takes(name) for name in BrokerConfig.__struct_fields__}


@pytest.mark.parametrize(
    ("host", "is_here", "is_every"),
    [
        ("127.0.0.1", True, False),
        ("127.8.9.1", True, False),
        ("localhost", True, False),
        ("[::1]", True, False),
        ("0.0.0.0", False, True),
        ("[::]", False, True),
        ("10.0.0.1", False, False),
        ("broker-1", False, False),
    ],
)
def test_who_reaches_a_host(host: str, is_here: bool, is_every: bool) -> None:
    assert (is_loopback(host), is_every_address(host)) == (is_here, is_every)

"""File, then environment, then flags; unknown keys are refused with a hint."""

from pathlib import Path

import pytest

from logd.broker.config import BrokerConfig, load_config, split_address
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
        ("broker_id = 'a'", "broker_id is 'a': takes a whole number"),
        ('log_level = "loud"', "log_level is 'loud': takes debug, info, warning, error"),
        ("data_dir = [", "cannot read"),
        ('listen = "nowhere"', "HOST:PORT"),
        ('listen = "h:99999"', "HOST:PORT"),
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


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    for name in BrokerConfig.__struct_fields__:
        assert f"`{name}`" in page, f"docs/configuration.md does not say what {name} is"

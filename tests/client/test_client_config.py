from dataclasses import fields
from functools import partial
from typing import Any, get_type_hints

import pytest

import logd
import logd.sync
from logd.model.errors import InvalidConfig
from logd_client.client_config import (
    ClientConfig,
    ConsumerConfig,
    ConsumerSettings,
    ProducerConfig,
    ProducerSettings,
    parse_settings,
)


@pytest.mark.parametrize(
    "config, settings", [(ProducerConfig, ProducerSettings), (ConsumerConfig, ConsumerSettings)]
)
def test_every_setting_is_documented_and_a_typed_keyword(config: Any, settings: Any) -> None:
    names = {f.name for f in fields(config)}
    assert names == set(get_type_hints(settings)) | {"bootstrap_servers"}
    for f in fields(config):
        assert len(f.metadata["setting"].meaning) > 20, f.name
        parse_settings(config, {f.name: f.default})


@pytest.mark.parametrize(
    "given, says",
    [
        ({"linger": 3}, "did you mean 'linger_ms'"),
        ({"batch.size": 1024}, "did you mean 'batch_size'"),
        ({"value.serializer": str}, "are bytes: encode"),
        ({"session_timeout_ms": 5}, "a setting of consumers"),
        ({"heartbeat.interval.ms": 5}, "see `session_timeout_ms`"),
        ({"partition_assignment_strategy": "range"}, "see `group_remote_assignor`"),
        ({"zzz": 1}, "known are acks, "),
        ({"acks": 0}, "'all' or 'leader'"),
        ({"acks": True}, "'all' or 'leader'"),
        ({"linger_ms": "5"}, "an int, 0 to 60000"),
        ({"linger_ms": True}, "an int"),
        ({"max_in_flight_requests_per_connection": 9}, "1 to 8"),
        ({"enable_idempotence": 1}, "True or False"),
        ({"client_id": ""}, "not empty"),
        ({"bootstrap_servers": 9600}, "HOST:PORT"),
        ({"bootstrap_servers": ["a:1", 2]}, "HOST:PORT"),
        ({"compression_type": "gzip"}, "'none' or 'lz4' or 'zstd'"),
        ({"batch_size": 1 << 20, "buffer_memory": 1 << 19}, "no batch would fit"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        parse_settings(ProducerConfig, given)


@pytest.mark.parametrize("config", [ClientConfig, ProducerConfig, ConsumerConfig])
def test_a_broker_is_looked_for_where_logctl_looks(
    config: type[ClientConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"bootstrap_servers": None}
    for text, means in ((None, "127.0.0.1:9600"), ("", "127.0.0.1:9600"), ("a:1,b", "a:1,b")):
        monkeypatch.delenv("LOGD_BOOTSTRAP", raising=False)
        if text is not None:
            monkeypatch.setenv("LOGD_BOOTSTRAP", text)
        assert parse_settings(config, given).bootstrap_servers == means
    assert parse_settings(config, {"bootstrap_servers": "c:2"}).bootstrap_servers == "c:2"


@pytest.mark.parametrize("face", [logd, logd.sync])
def test_every_client_does_so(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGD_BOOTSTRAP", "a:1;b:2")
    for make in (face.Producer, face.Admin, partial(face.Consumer, "orders")):
        with pytest.raises(InvalidConfig, match=r"LOGD_BOOTSTRAP.*write a:1,b:2"):
            make()


def test_kafkas_numbers_for_acks() -> None:
    assert parse_settings(ProducerConfig, {"acks": -1}).acks == "all"
    assert parse_settings(ProducerConfig, {"acks": 1}).acks == "leader"


def test_what_is_for_members_is_refused_of_others() -> None:
    wants: dict[str, Any] = {"pattern": "orders-.*", "group_instance_id": "a"}
    assert parse_settings(ConsumerConfig, {"group_id": "g", **wants}).is_member
    for no_member in ({}, {"group_id": "g", "partitions": [0]}):
        assert not parse_settings(ConsumerConfig, no_member).is_member
        for name in wants:
            with pytest.raises(InvalidConfig, match=f"{name} is for members"):
                parse_settings(ConsumerConfig, {**no_member, name: wants[name]})
    with pytest.raises(InvalidConfig, match="1000 to"):
        parse_settings(ConsumerConfig, {"session_timeout_ms": 999})


def test_a_consumers_partitions() -> None:
    assert parse_settings(ConsumerConfig, {"partitions": [0, 2]}).partitions == [0, 2]
    for wrong in ([-1], 0, 3, [True], "01", {"orders": 0}):
        with pytest.raises(InvalidConfig, match="partition numbers"):
            parse_settings(ConsumerConfig, {"partitions": wrong})

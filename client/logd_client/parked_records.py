"""Records that no handler could take, put aside in "TOPIC.parked".

A parked record has the key, the value and the time that it had, and these headers, as UTF-8:

    logd.parked.topic, .partition, .offset    where it stands, or stood
    logd.parked.group                         who parked it
    logd.parked.attempts                      how often it was tried
    logd.parked.reason                        in the handler's words, or the error's
    logd.parked.error, .traceback             the exception, where there was one

behind the headers that it had. The topic is made at the first park, as its topic is, and keeps
records for 30 days.
"""

import traceback
from typing import Any

from logd.model.seams import Transport
from logd.model.topic import PARKED_SUFFIX
from logd.model.topic_config import MESSAGE_BYTES_MAX_LIMIT
from logd_client.admin import Admin
from logd_client.client_config import ConsumerConfig
from logd_client.diagnostics import logger
from logd_client.producer import Producer
from logd_client.work_record import Park, WorkRecord

RETENTION_MS = 30 * 86_400_000
TEXT_CHARACTERS_MAX = 4_000
HEADERS_BYTES_MAX = 64 << 10
"""What the headers may add to a record that is as large as its topic takes."""
Headers = list[tuple[str, bytes | None]]


class ParkedRecords:
    """Writes them, for one consumer of this `config`."""

    def __init__(self, config: ConsumerConfig, transport: Transport | None) -> None:
        self._group = config.group_id or ""
        self._client: dict[str, Any] = {
            "bootstrap_servers": config.bootstrap_servers,
            "client_id": config.client_id,
            "transport": transport,
        }
        self._producer: Producer | None = None
        self._made: set[str] = set()

    async def park(self, record: WorkRecord, verdict: Park) -> None:
        """Returns once it is acknowledged. Raises what kept it from that."""
        name = record.topic + PARKED_SUFFIX
        if name not in self._made:
            await self._make(record.topic, name)
            self._made.add(name)
        if self._producer is None:
            self._producer = Producer(**self._client)
        headers = [*record.headers, *self._headers(record, verdict)]
        handle = await self._producer.send(
            name, record.value, record.key, headers=headers, timestamp_ms=record.timestamp_ms
        )
        await handle
        logger.warning(
            "record_parked",
            record=f"{record.topic}:{record.partition}:{record.offset}",
            attempts=record.attempt,
            reason=_reason(verdict),
        )

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.close()

    async def _make(self, topic: str, name: str) -> None:
        async with Admin(**self._client) as admin:
            like = await admin.describe_topic(topic)
            size = int(like.config["message_bytes_max"]) + HEADERS_BYTES_MAX
            config = {
                "retention_ms": str(RETENTION_MS),
                "message_bytes_max": str(min(size, MESSAGE_BYTES_MAX_LIMIT)),
            }
            count, copies = len(like.partitions), like.replication_factor
            await admin.create_topic(name, count, copies, config, if_not_exists=True)

    def _headers(self, record: WorkRecord, verdict: Park) -> Headers:
        said: dict[str, object] = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "group": self._group,
            "attempts": record.attempt,
            "reason": _reason(verdict),
        }
        if verdict.error is not None:
            said["error"] = type(verdict.error).__name__
            said["traceback"] = "".join(traceback.format_exception(verdict.error))
        return [
            (f"logd.parked.{name}", str(text)[-TEXT_CHARACTERS_MAX:].encode("utf-8", "replace"))
            for name, text in said.items()
        ]


def _reason(verdict: Park) -> str:
    return verdict.reason if verdict.error is None else f"{verdict.error}"

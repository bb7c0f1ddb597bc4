"""A member of a group as a process: says on stdout what it is told and given, one event a line.

    python -m harness.group_member ADDRESS GROUP TOPIC NAME {"settings": "of the consumer"}

An event is a JSON list: seconds of the monotonic clock, which all processes of a machine share;
what happened; and about what. It ends cleanly on SIGTERM.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable

from logd.model.errors import CommitBehind, DuplicateInstance, FencedMember
from logd.sync import Consumer

POLL_MS = 50


def tell(what: str, *about: object) -> None:
    sys.stdout.write(json.dumps([time.monotonic(), what, *about]) + "\n")
    sys.stdout.flush()


def teller(what: str) -> Callable[[list[tuple[str, int]]], None]:
    return lambda partitions: tell(what, [number for _, number in partitions])


def main() -> int:
    address, group, topic, _name, settings = sys.argv[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    consumer = Consumer(
        topic,
        bootstrap_servers=address,
        group_id=group,
        enable_auto_commit=False,
        on_assigned=teller("assigned"),
        on_revoked=teller("revoked"),
        on_lost=teller("lost"),
        **json.loads(settings),
    )
    try:
        with consumer:
            tell("joined")
            while not stopping.is_set():
                _read(consumer)
    except DuplicateInstance:
        tell("duplicate")
        return 3
    tell("left")
    return 0


def _read(consumer: Consumer) -> None:
    records = consumer.poll(POLL_MS)
    if not records:
        return
    tell("given", [[r.partition, r.offset, int(r.value or b"-1")] for r in records])
    behind = {}
    for record in records:
        behind[record.topic, record.partition] = record.offset + 1
    for (topic, partition), offset in behind.items():
        tell("commits", partition, offset)
        try:
            taken = consumer.commit({(topic, partition): offset})
        except (FencedMember, CommitBehind) as refused:
            tell("refused", partition, offset, refused.reason)
        else:
            tell("committed" if taken else "rewound", partition, offset)


if __name__ == "__main__":
    sys.exit(main())

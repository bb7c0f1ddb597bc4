"""The synchronous Admin: the same names without await."""

from collections.abc import Sequence
from typing import Unpack

from logd.model.seams import Transport
from logd_client import admin
from logd_client.client_config import ClientSettings
from logd_client.sync.blocking_client import BlockingClient, blocking


class Admin(BlockingClient[admin.Admin]):
    """`with Admin(...) as admin`: as `logd_client.Admin`, each call waits for its answer."""

    def __init__(
        self,
        *,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        **settings: Unpack[ClientSettings],
    ) -> None:
        super().__init__(
            admin.Admin(bootstrap_servers=bootstrap_servers, transport=transport, **settings)
        )

    create_topic = blocking(admin.Admin.create_topic)
    list_topics = blocking(admin.Admin.list_topics)
    describe_topic = blocking(admin.Admin.describe_topic)
    set_topic = blocking(admin.Admin.set_topic)
    add_partitions = blocking(admin.Admin.add_partitions)
    delete_topic = blocking(admin.Admin.delete_topic)
    truncate_topic = blocking(admin.Admin.truncate_topic)
    delete_records = truncate_topic
    describe_partitions = blocking(admin.Admin.describe_partitions)
    list_offsets = blocking(admin.Admin.list_offsets)
    list_groups = blocking(admin.Admin.list_groups)
    describe_group = blocking(admin.Admin.describe_group)
    group_lag = blocking(admin.Admin.group_lag)
    delete_group = blocking(admin.Admin.delete_group)
    commit_offsets = blocking(admin.Admin.commit_offsets)
    fetch_offsets = blocking(admin.Admin.fetch_offsets)
    reset_offsets = blocking(admin.Admin.reset_offsets)
    undo_reset = blocking(admin.Admin.undo_reset)
    fork_group = blocking(admin.Admin.fork_group)
    group_history = blocking(admin.Admin.group_history)
    cluster_info = blocking(admin.Admin.cluster_info)
    cluster_health = blocking(admin.Admin.cluster_health)
    list_connections = blocking(admin.Admin.list_connections)

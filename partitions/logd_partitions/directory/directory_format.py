"""Whose data directory this is, and how it is laid out: `format.json`.

A checked JSON object: layout_version 1, cluster_id, broker_id, needs (the oldest program that can
read this layout). It stands before anything else is written. A directory of a newer layout is
refused before its checksum is looked at: the newer program may have another one.
"""

import json
from dataclasses import dataclass

from logd.model.errors import InvalidConfig, StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import BrokerId
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import read_file, write_atomically
from logd_partitions.core.checked_json import decode_checked, encode_checked

FILE_NAME = "format.json"
LAYOUT_VERSION = 1
NEEDS = "logd 0.1 or newer"


@dataclass(frozen=True, slots=True)
class DirectoryFormat:
    """`cluster_id` is empty until the cluster's metadata is there."""

    cluster_id: str
    broker_id: BrokerId

    def check(self, directory: str, *, broker_id: BrokerId, cluster_id: str | None) -> None:
        """Raises InvalidConfig where the directory is another broker's or cluster's."""
        if self.broker_id != broker_id:
            raise InvalidConfig(
                f"{directory} belongs to broker {self.broker_id}, but this is broker {broker_id}: "
                "set broker_id or data_dir right",
                field="broker_id",
            )
        if cluster_id and self.cluster_id and self.cluster_id != cluster_id:
            raise InvalidConfig(
                f"{directory} belongs to cluster {self.cluster_id}, but the metadata is of cluster "
                f"{cluster_id}: set data_dir right, or restore both from one backup",
                field="data_dir",
            )


def read_format(fs: FileSystem, directory: str) -> DirectoryFormat:
    """Raises FileNotFoundError, UnsupportedVersion, StoredDataCorrupt, OSError."""
    path = f"{directory}/{FILE_NAME}"
    data = read_file(fs, path)
    _refuse_newer(data, directory)
    try:
        members = decode_checked(data, path)
    except StoredDataCorrupt as error:
        raise StoredDataCorrupt(f"{error}: restore it from a backup", segment=path) from None
    cluster_id, broker_id = members.get("cluster_id"), members.get("broker_id")
    if not isinstance(cluster_id, str) or not isinstance(broker_id, int):
        raise StoredDataCorrupt(f"{path} lacks the cluster or broker id", segment=path)
    return DirectoryFormat(cluster_id, BrokerId(broker_id))


def write_format(fs: FileSystem, directory: str, of: DirectoryFormat) -> None:
    """Durable on return. Raises OSError."""
    members = {
        "layout_version": LAYOUT_VERSION,
        "cluster_id": of.cluster_id,
        "broker_id": of.broker_id,
        "needs": NEEDS,
    }
    write_atomically(fs, f"{directory}/{FILE_NAME}", encode_checked(members))


def _refuse_newer(data: bytes, directory: str) -> None:
    try:
        members = json.loads(data)
        version = members["layout_version"]
        needs = members.get("needs", "a newer logd")
        is_newer = version > LAYOUT_VERSION
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # the checksum decides
    if is_newer:
        raise UnsupportedVersion(
            f"{directory} has layout version {version}, this program knows {LAYOUT_VERSION}: "
            f"it needs {needs}",
            field="layout_version",
            needs=needs,
        )

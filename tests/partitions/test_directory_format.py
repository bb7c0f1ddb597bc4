from pathlib import Path

import pytest

from logd.model.errors import InvalidConfig, StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import BrokerId
from logd.system.os_file_system import OsFileSystem
from logd_partitions.directory.directory_format import DirectoryFormat, read_format, write_format

GOLDEN = b"""\
{
 "layout_version": 1,
 "cluster_id": "c-1",
 "broker_id": 3,
 "needs": "logd 0.1 or newer",
 "crc32c": "e5c68a3d"
}
"""
OURS = DirectoryFormat("c-1", BrokerId(3))


def test_golden_bytes(tmp_path: Path) -> None:
    write_format(OsFileSystem(), str(tmp_path), OURS)
    assert (tmp_path / "format.json").read_bytes() == GOLDEN
    assert read_format(OsFileSystem(), str(tmp_path)) == OURS


def test_a_newer_layout_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text('{"layout_version": 2, "needs": "logd 3.1 or newer"}')
    with pytest.raises(UnsupportedVersion, match=r"it needs logd 3\.1 or newer"):
        read_format(OsFileSystem(), str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", GOLDEN[:-4], GOLDEN.replace(b"3", b"4")])
def test_damage(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "format.json").write_bytes(data)
    with pytest.raises(StoredDataCorrupt, match=r"format\.json"):
        read_format(OsFileSystem(), str(tmp_path))


def test_another_brokers_or_clusters_directory() -> None:
    OURS.check("d", broker_id=BrokerId(3), cluster_id=None)
    OURS.check("d", broker_id=BrokerId(3), cluster_id="c-1")
    DirectoryFormat("", BrokerId(3)).check("d", broker_id=BrokerId(3), cluster_id="c-9")
    with pytest.raises(InvalidConfig, match="belongs to broker 3, but this is broker 4"):
        OURS.check("d", broker_id=BrokerId(4), cluster_id=None)
    with pytest.raises(InvalidConfig, match="belongs to cluster c-1"):
        OURS.check("d", broker_id=BrokerId(3), cluster_id="c-2")

"""Small JSON files that people may read, with a checksum inside.

The object has a member `crc32c`: eight hex digits, CRC-32C of the UTF-8 bytes of the object without
it, keys sorted, without white space. So a file that was damaged, cut or edited by hand is told
from one that logd wrote, whatever its layout.
"""

import json
from collections.abc import Mapping

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt

CHECKSUM = "crc32c"


def encode_checked(members: Mapping[str, object]) -> bytes:
    """The file's bytes. `members` has string keys and JSON values."""
    assert CHECKSUM not in members, "the checksum is added here"
    document = {**members, CHECKSUM: _checksum(members)}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def decode_checked(data: bytes, path: str) -> dict[str, object]:
    """The members without the checksum. Raises StoredDataCorrupt, which names `path`."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.pop(CHECKSUM, None) != _checksum(document):
        raise StoredDataCorrupt(f"{path} does not match its checksum", segment=path)
    return document


def _checksum(members: Mapping[str, object]) -> str:
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{crc32c(text.encode('utf-8', 'surrogatepass')):08x}"

"""Which records `consume` prints."""

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logd_client import Record


class RecordFilter:
    """All of what was asked must hold: the value matches, the key is this, the headers are there.

    `pattern` is searched in the bytes of the value; a null value matches nothing.
    """

    def __init__(
        self,
        pattern: re.Pattern[bytes] | None = None,
        key: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._pattern = pattern
        self._key = None if key is None else os.fsencode(key)
        self._headers = [(name, os.fsencode(value)) for name, value in headers]
        self.is_empty = pattern is None and key is None and not headers

    def takes(self, record: "Record") -> bool:
        """Whether to print it."""
        if self._key is not None and record.key != self._key:
            return False
        if self._pattern is not None:
            if record.value is None or not self._pattern.search(record.value):
                return False
        return all(header in record.headers for header in self._headers)


def parse_pattern(text: str) -> re.Pattern[bytes]:
    """A regular expression over bytes. Raises ValueError."""
    try:
        return re.compile(os.fsencode(text))
    except re.error as error:
        raise ValueError(f"'{text}' is no regular expression: {error}") from None

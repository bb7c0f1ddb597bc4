"""Fields of a protobuf message as bytes that no serializer writes, but every parser has to read."""

from hypothesis import strategies as st

from logd.model.varint import VARINT_BYTES_MAX, write_varint


def _long(value: int, more: int) -> bytes:
    """The varint, with so many bytes more than it needs, as far as a varint has room."""
    raw = write_varint(value)
    more = min(more, VARINT_BYTES_MAX - len(raw))
    return raw if not more else bytes(b | 0x80 for b in raw) + b"\x80" * (more - 1) + b"\0"


varints = st.builds(
    _long,
    st.integers(0, 40)
    | st.sampled_from([127, 128, 1 << 31, (1 << 32) + 5, 1 << 63, (1 << 64) - 1]),
    st.sampled_from([0, 0, 0, 1, 3, 9]),
)
"""Short and long, in range and out of it, some in more bytes than they need."""


def raw_fields(numbers: list[int], payloads: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Some fields of these numbers, in any order and of any wire type but groups, run together."""

    def tagged(number: int) -> st.SearchStrategy[bytes]:
        return st.one_of(
            varints.map(lambda raw: write_varint(number << 3) + raw),
            payloads.map(lambda raw: write_varint(number << 3 | 2) + write_varint(len(raw)) + raw),
            st.binary(min_size=8, max_size=8).map(lambda raw: write_varint(number << 3 | 1) + raw),
            st.binary(min_size=4, max_size=4).map(lambda raw: write_varint(number << 3 | 5) + raw),
        )

    return st.lists(st.sampled_from(numbers).flatmap(tagged), max_size=8).map(b"".join)

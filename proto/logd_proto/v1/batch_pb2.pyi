from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class BatchBody(_message.Message):
    __slots__ = ("pad_1", "value_ends", "pad_2", "values", "pad_3", "value_nulls", "pad_4", "key_ends", "pad_5", "keys", "pad_6", "key_nulls", "pad_7", "timestamp_deltas", "pad_8", "offset_deltas", "pad_9", "record_flags", "pad_10", "header_ends", "pad_11", "header_name_ends", "pad_12", "header_names", "pad_13", "header_value_ends", "pad_14", "header_values", "pad_15", "header_value_nulls", "tail_pad")
    PAD_1_FIELD_NUMBER: _ClassVar[int]
    VALUE_ENDS_FIELD_NUMBER: _ClassVar[int]
    PAD_2_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    PAD_3_FIELD_NUMBER: _ClassVar[int]
    VALUE_NULLS_FIELD_NUMBER: _ClassVar[int]
    PAD_4_FIELD_NUMBER: _ClassVar[int]
    KEY_ENDS_FIELD_NUMBER: _ClassVar[int]
    PAD_5_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PAD_6_FIELD_NUMBER: _ClassVar[int]
    KEY_NULLS_FIELD_NUMBER: _ClassVar[int]
    PAD_7_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_DELTAS_FIELD_NUMBER: _ClassVar[int]
    PAD_8_FIELD_NUMBER: _ClassVar[int]
    OFFSET_DELTAS_FIELD_NUMBER: _ClassVar[int]
    PAD_9_FIELD_NUMBER: _ClassVar[int]
    RECORD_FLAGS_FIELD_NUMBER: _ClassVar[int]
    PAD_10_FIELD_NUMBER: _ClassVar[int]
    HEADER_ENDS_FIELD_NUMBER: _ClassVar[int]
    PAD_11_FIELD_NUMBER: _ClassVar[int]
    HEADER_NAME_ENDS_FIELD_NUMBER: _ClassVar[int]
    PAD_12_FIELD_NUMBER: _ClassVar[int]
    HEADER_NAMES_FIELD_NUMBER: _ClassVar[int]
    PAD_13_FIELD_NUMBER: _ClassVar[int]
    HEADER_VALUE_ENDS_FIELD_NUMBER: _ClassVar[int]
    PAD_14_FIELD_NUMBER: _ClassVar[int]
    HEADER_VALUES_FIELD_NUMBER: _ClassVar[int]
    PAD_15_FIELD_NUMBER: _ClassVar[int]
    HEADER_VALUE_NULLS_FIELD_NUMBER: _ClassVar[int]
    TAIL_PAD_FIELD_NUMBER: _ClassVar[int]
    pad_1: bytes
    value_ends: bytes
    pad_2: bytes
    values: bytes
    pad_3: bytes
    value_nulls: bytes
    pad_4: bytes
    key_ends: bytes
    pad_5: bytes
    keys: bytes
    pad_6: bytes
    key_nulls: bytes
    pad_7: bytes
    timestamp_deltas: bytes
    pad_8: bytes
    offset_deltas: bytes
    pad_9: bytes
    record_flags: bytes
    pad_10: bytes
    header_ends: bytes
    pad_11: bytes
    header_name_ends: bytes
    pad_12: bytes
    header_names: bytes
    pad_13: bytes
    header_value_ends: bytes
    pad_14: bytes
    header_values: bytes
    pad_15: bytes
    header_value_nulls: bytes
    tail_pad: bytes
    def __init__(self, pad_1: _Optional[bytes] = ..., value_ends: _Optional[bytes] = ..., pad_2: _Optional[bytes] = ..., values: _Optional[bytes] = ..., pad_3: _Optional[bytes] = ..., value_nulls: _Optional[bytes] = ..., pad_4: _Optional[bytes] = ..., key_ends: _Optional[bytes] = ..., pad_5: _Optional[bytes] = ..., keys: _Optional[bytes] = ..., pad_6: _Optional[bytes] = ..., key_nulls: _Optional[bytes] = ..., pad_7: _Optional[bytes] = ..., timestamp_deltas: _Optional[bytes] = ..., pad_8: _Optional[bytes] = ..., offset_deltas: _Optional[bytes] = ..., pad_9: _Optional[bytes] = ..., record_flags: _Optional[bytes] = ..., pad_10: _Optional[bytes] = ..., header_ends: _Optional[bytes] = ..., pad_11: _Optional[bytes] = ..., header_name_ends: _Optional[bytes] = ..., pad_12: _Optional[bytes] = ..., header_names: _Optional[bytes] = ..., pad_13: _Optional[bytes] = ..., header_value_ends: _Optional[bytes] = ..., pad_14: _Optional[bytes] = ..., header_values: _Optional[bytes] = ..., pad_15: _Optional[bytes] = ..., header_value_nulls: _Optional[bytes] = ..., tail_pad: _Optional[bytes] = ...) -> None: ...

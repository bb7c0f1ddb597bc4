import pytest

from logd.cli.record_template import harmless, headers_text, parse_template


def test_fields_escapes_and_literals() -> None:
    template = parse_template(r"%t:%p@%o\t%%%v\x00\n")
    assert template.parts == ("t", b":", "p", b"@", "o", b"\t%", "v", b"\x00\n")
    assert template.letters == set("tpov")
    fields = {"t": b"a", "p": b"1", "o": b"2", "v": b"\xff"}
    assert template.fill(fields) == b"a:1@2\t%\xff\x00\n"


@pytest.mark.parametrize("text", ["%x", "%", "\\q", "abc\\", "\\x1"])
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there are"):
        parse_template(text)


def test_headers_as_text() -> None:
    assert headers_text([("a", b"b"), ("c", None)]) == b"a=b,c"


def test_data_for_a_terminal_keeps_newlines_and_tabs_only() -> None:
    assert harmless(b"a\tb\n\x1b[2J\xff") == b"a\tb\n\\x1b[2J\\xff"

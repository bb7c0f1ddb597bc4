import pytest

from logd.model.addresses import Address, parse_address, parse_addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9600", Address("127.0.0.1", 9600)),
        (" broker-1.example_x.org:1 ", Address("broker-1.example_x.org", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[fe80::1%eth0]:9600", Address("fe80::1%eth0", 9600)),
        ("[::ffff:10.0.0.1]:9600", Address("::ffff:10.0.0.1", 9600)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text.strip()


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("::1:9600", "write [::1]:9600 for IPv6"),
        ("fe80::1%eth0:9600", "write [fe80::1%eth0]:9600 for IPv6"),
        ("2001:db8:0:0:0:0:0:1:9600", "write [2001:db8:0:0:0:0:0:1]:9600 for IPv6"),
        ("a:1;b:2", "write a:1,b:2, with commas"),
        ("a:1 b:2", "write a:1,b:2, with commas"),
        ("a:1; b:2;", "write a:1,b:2, with commas"),
        ("http://a:1", "without http://"),
        ("a/b:1", "write HOST:PORT"),
        ("a:1/", "write HOST:PORT"),
        ("user@a:1", "write HOST:PORT"),
        ("[a]:1", "write HOST:PORT"),
        ("[::1:9600", "write HOST:PORT"),
        ("[1:2]:9600", "write HOST:PORT"),
        ("", "write HOST:PORT"),
        (":9600", "write HOST:PORT"),
        ("a:b:1", "write HOST:PORT"),
        ("a", "with a port from 1 to 65535"),
        ("[::1]", "with a port from 1 to 65535"),
        ("a:", "with a port from 1 to 65535"),
        ("a:0", "with a port from 1 to 65535"),
        ("a:65536", "with a port from 1 to 65535"),
        ("a:-1", "with a port from 1 to 65535"),
        ("a:+1", "with a port from 1 to 65535"),
        ("a:1_0", "with a port from 1 to 65535"),
        ("a:٣", "with a port from 1 to 65535"),
        ("a:²", "with a port from 1 to 65535"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(ValueError, match="is no address") as refusal:
        parse_address(text)
    assert f"'{text}' is no address" in str(refusal.value) and instead in str(refusal.value)


def test_several_stand_in_a_list_or_between_commas_and_count_once() -> None:
    both = (Address("a", 1), Address("::1", 2))
    assert parse_addresses("a:1, [::1]:2,a:1") == both
    assert parse_addresses(["a:1", "[::1]:2"]) == both
    for empty in ("", "a:1,", ",a:1", "a:1,,[::1]:2"):
        with pytest.raises(ValueError, match="'' is no address"):
            parse_addresses(empty)

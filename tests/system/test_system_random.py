from logd.system.system_random import SystemRandom


def test_bytes_differ_and_numbers_stay_within() -> None:
    random = SystemRandom()
    drawn = {random.bytes(16) for _ in range(100)}
    assert len(drawn) == 100 and {len(one) for one in drawn} == {16}
    numbers = [random.uniform(2.0, 3.0) for _ in range(100)]
    assert all(2.0 <= number <= 3.0 for number in numbers) and len(set(numbers)) > 50

"""Places in code, processes and sizes as people read them."""

from __future__ import annotations

from clew.analysis.texts import frame_place, instance_text, number_text, size_text

INSTANCE = "0E9A2B1C-5d07-4d7e-9d77-1e2a3b4c5d6f"


def test_a_frame_says_its_line() -> None:
    frames = [
        '  File "/app/a b.py", line 7, in <lambda>',
        "at com.shop.Payments.charge(Payments.java:52)",
        "/app/main.go:12 +0x1d",
        "",
    ]
    assert [frame_place(frame) for frame in frames] == [
        "<lambda> (/app/a b.py:7)", "com.shop.Payments.charge(Payments.java:52)",
        "/app/main.go:12 +0x1d", "",
    ]  # fmt: skip


def test_a_process_is_named_in_short() -> None:
    ids = [INSTANCE, "payments-1", f"{INSTANCE}-1", ""]
    assert list(map(instance_text, ids)) == ["0E9A2B1C", *ids[1:]]


def test_sizes_have_the_unit_that_fits() -> None:
    sizes = [0, 1000, 1024, 1023 * 2**10, 1023.9 * 2**10, 250e6, -5e9, 3e15]
    assert list(map(size_text, sizes)) == [
        "0 B", "1000 B", "1 KiB", "1023 KiB", "1 MiB", "238 MiB", "-4.66 GiB", "2728 TiB",
    ]  # fmt: skip


def test_a_number_has_three_digits_that_count_and_no_exponent() -> None:
    numbers = [0, 0.1234, 9.876, 98.76, 99.96, 123.4, 12345.6, -1234.5]
    assert list(map(number_text, numbers)) == [
        "0", "0.123", "9.88", "98.8", "100", "123", "12346", "-1234",
    ]  # fmt: skip

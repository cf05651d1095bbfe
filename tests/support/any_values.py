"""AnyValues of Python values, and the text that the exporter makes of each kind."""

from __future__ import annotations

import math
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def any_value(value: Any) -> AnyValue:
    """An AnyValue of the kind that the Python value has."""
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(map(any_value, value))
    elif isinstance(value, dict):
        made.kvlist_value.SetInParent()
        for key, member in value.items():
            made.kvlist_value.values.add(key=key).value.CopyFrom(any_value(member))
    return made


# Every kind of value, and the exporter's text of it.
VALUES: dict[str, tuple[Any, str]] = {
    "string": ("shop", "shop"),
    "string.empty": ("", ""),
    "string.unicode": ("ü \0 \u2028 😀", "ü \0 \u2028 😀"),
    "string.127": ("x" * 127, "x" * 127),
    "string.128": ("y" * 128, "y" * 128),
    "string.16383": ("z" * 16383, "z" * 16383),
    "string.16384": ("a" * 16384, "a" * 16384),
    "string.3M": ("b" * 3_000_000, "b" * 3_000_000),
    "bool.true": (True, "true"),
    "bool.false": (False, "false"),
    "int.0": (0, "0"),
    "int.127": (127, "127"),
    "int.128": (128, "128"),
    "int.-1": (-1, "-1"),
    "int.max": (2**63 - 1, "9223372036854775807"),
    "int.min": (-(2**63), "-9223372036854775808"),
    "double.1": (1.0, "1"),
    "double.0.1": (0.1, "0.1"),
    "double.1e20": (1e20, "100000000000000000000"),
    "double.1e21": (1e21, "1e+21"),
    "double.1e-7": (1e-7, "1e-7"),
    "double.max": (1.7976931348623157e308, "1.7976931348623157e+308"),
    "double.min": (5e-324, "5e-324"),
    "double.1e-6": (1e-6, "0.000001"),
    "double.-1e21": (-1e21, "-1e+21"),
    "double.-0": (-0.0, "-0"),
    "double.exact": (123456789.125, "123456789.125"),
    "double.long": (123456789012345680.0, "123456789012345680"),
    "double.nan": (math.nan, "NaN"),
    "double.inf": (math.inf, "Infinity"),
    "double.-inf": (-math.inf, "-Infinity"),
    "bytes": (b"\x00\xff\x10", "AP8Q"),
    "bytes.empty": (b"", ""),
    "bytes.200": (b"\x01" * 200, "AQEB" * 66 + "AQE="),
    "empty": (None, ""),
}
NESTED: dict[str, tuple[Any, str]] = {
    "array": ([1, "x", 2.5, True, None], '[1,"x",2.5,true,null]'),
    "array.empty": ([], "[]"),
    "map": ({"b": [1], "a": {"c": "<&>"}}, '{"a":{"c":"<&>"},"b":[1]}'),
    "array.bytes": ([b"\x00\xff\x10", b""], '["AP8Q",null]'),
    "array.8": ([[[[[[[["deep"]]]]]]]], '[[[[[[[["deep"]]]]]]]]'),
    "array.ints": ([2**63 - 1, -(2**63)], "[9223372036854775807,-9223372036854775808]"),
}
NOT_FINITE: dict[str, tuple[Any, str]] = {  # the exporter stores nothing of these
    "array.nan": ([1, math.nan], '[1,"NaN"]'),
    "map.inf": ({"a": {"b": math.inf}}, '{"a":{"b":"Infinity"}}'),
}
EVERY = VALUES | NESTED

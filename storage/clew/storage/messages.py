"""The messages of otlp.proto for Python: the same file tells the engine and Python what is read.

Text stays bytes, as it is stored. An attribute stays the bytes of its KeyValue: most attributes of
a segment occur in it many times, and each distinct one is decoded once (clew.storage.rows).
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

OTLP_PROTO = files("clew.storage").joinpath("otlp.proto")

Field = descriptor_pb2.FieldDescriptorProto

_PACKAGE = "clew.otlp"
_MESSAGE = re.compile(r"^message (\w+) \{(.*?)\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(?:(repeated|optional) )?(\w+) (\w+) = (\d+);")
_TYPES = {
    name: getattr(Field, f"TYPE_{name.upper()}")
    for name in (
        *("bool", "double", "fixed32", "fixed64", "int32"),
        *("sfixed64", "sint32", "uint32", "uint64"),
    )
} | dict.fromkeys(("string", "bytes", "KeyValue"), Field.TYPE_BYTES)


@cache
def message_class(name: str) -> Any:
    """The class of a message of otlp.proto."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    text = re.sub(r"//.*", "", OTLP_PROTO.read_text(encoding="utf-8"))
    file = descriptor_pb2.FileDescriptorProto(
        name="clew/otlp.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, body in _MESSAGE.findall(text):
        message = file.message_type.add(name=name)
        for label, field_type, field_name, number in _FIELD.findall(body):
            field = message.field.add(name=field_name, number=int(number))
            field.label = Field.LABEL_REPEATED if label == "repeated" else Field.LABEL_OPTIONAL
            field.type = _TYPES.get(field_type, Field.TYPE_MESSAGE)
            if field_type not in _TYPES:
                field.type_name = f".{_PACKAGE}.{field_type}"
            if label == "optional":
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool

"""Variants of OTLP's message classes, which let protobuf's C implementation do work for clew.

In a copy of the descriptors a few fields are declared differently. Such a message parses the same
bytes, and protobuf merges its fields, leaves them as bytes, or finds them, as declared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

Field = descriptor_pb2.FieldDescriptorProto


def derive_message(full_name: str, change: Callable[[Any], None]) -> type[Message]:
    """A variant of the message class `full_name`: `change` is applied to a copy of every file
    (FileDescriptorProto) that declares it or what it contains."""
    pool = descriptor_pool.DescriptorPool()
    for file in _with_dependencies(descriptor_pool.Default().FindMessageTypeByName(full_name).file):
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        change(proto)
        pool.AddSerializedFile(proto.SerializeToString())
    message: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
    return message


def _with_dependencies(file: Any) -> list[Any]:
    """The file after all its dependencies, in an order in which they can be added to a pool."""
    files = [entry for dependency in file.dependencies for entry in _with_dependencies(dependency)]
    return list({entry.name: entry for entry in [*files, file]}.values())

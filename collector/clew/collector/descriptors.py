"""OTLP's messages in other shapes: protobuf's C implementation then does work that is not its own.

A copy of the descriptors with a few fields declared otherwise reads the same bytes, and what was
declared says what is done with them: fields merged, left as bytes, marked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

Field = descriptor_pb2.FieldDescriptorProto


def altered(full_name: str, change: Callable[[Any], None]) -> type[Message]:
    """The message class `full_name` after `change` was applied to a copy of every file
    (FileDescriptorProto) that it needs."""
    pool = descriptor_pool.DescriptorPool()
    for file in _with_dependencies(descriptor_pool.Default().FindMessageTypeByName(full_name).file):
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        change(proto)
        pool.AddSerializedFile(proto.SerializeToString())
    made: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
    return made


def _with_dependencies(file: Any) -> list[Any]:
    """The file's dependencies, each before those that need it, and then the file."""
    found = [part for dependency in file.dependencies for part in _with_dependencies(dependency)]
    return list({part.name: part for part in [*found, file]}.values())

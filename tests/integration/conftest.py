"""The directories of this suite are in memory: fsync is most of an insert, and not what it tests."""

from support.in_memory import tmp_path, tmp_path_factory

__all__ = ["tmp_path", "tmp_path_factory"]

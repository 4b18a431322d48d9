"""The flash log over a block device. Every byte is in docs/SPEC.md."""

from cistern.store.log import Cursor, Log, Ref
from cistern.store.state import REASONS

__all__ = ("REASONS", "Cursor", "Log", "Ref")

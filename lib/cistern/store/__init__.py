"""The flash log over a block device. Every byte is in docs/SPEC.md."""

from cistern.store.cursor import Cursor, Ref
from cistern.store.log import Log
from cistern.store.losses import REASONS
from cistern.store.stats import Stats

__all__ = ("REASONS", "Cursor", "Log", "Ref", "Stats")

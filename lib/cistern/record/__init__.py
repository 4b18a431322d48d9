"""Readings ↔ compact bytes: streams, shapes, rings, parcels. Every byte is in docs/SPEC.md."""

from cistern.record.reader import Reader
from cistern.record.ring import Ring, Sealed
from cistern.record.shape import Shape
from cistern.record.stream import Stream, read_definition
from cistern.record.value import MAX_READING

__all__ = (
    "MAX_READING",
    "Reader",
    "Ring",
    "Sealed",
    "Shape",
    "Stream",
    "read_definition",
)

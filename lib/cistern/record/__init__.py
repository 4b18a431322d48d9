"""Readings ↔ compact bytes: streams, shapes, rings, parcels. Every byte is in docs/SPEC.md."""

from cistern.record.reader import Reader as Reader
from cistern.record.ring import Ring as Ring
from cistern.record.ring import Sealed as Sealed
from cistern.record.shape import Shape as Shape
from cistern.record.stream import Stream as Stream
from cistern.record.stream import read_definition as read_definition
from cistern.record.value import MAX_READING as MAX_READING

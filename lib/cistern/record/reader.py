"""Parcels back into readings."""

from cistern.record.value import Source


class Reader:
    """Iterates the readings of a parcel: (requested_uptime_us, received_uptime_us, values).

    values: a list, in the order of the shape's leaves; shape.payload(values) is the dict.
    Raises IndexError or ValueError on a payload that is not one of this shape.
    """

    def __init__(self, shape, payload):
        self._shape = shape
        self._source = Source(payload)
        self._end = len(payload)
        self._requested = None
        self._latency = 0

    def __iter__(self):
        return self

    def __next__(self):
        source = self._source
        if source.pos >= self._end:
            raise StopIteration
        if self._requested is None:
            self._requested = source.uint()
        else:
            self._requested += self._shape.period_us + source.int()
        self._latency += source.int()
        return self._requested, self._requested + self._latency, self._shape.values(source)

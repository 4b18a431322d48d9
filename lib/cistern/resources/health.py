"""The sensor `health`: the counters of Cistern itself, captured like any reading."""

from cistern.resources import ResourceError, Sensor
from cistern.resources.attributes import check as check_table


def check(kind, model, attributes):
    """Problems of the attributes: it takes none."""
    return check_table({}, attributes)


def build(component, port, others):
    """Make the sensor over port.health, a callable that returns the application's status."""
    status = getattr(port, "health", None)
    if not status:
        raise ResourceError(
            "%s: this program keeps no counters: capture `health` on a board that runs Cistern's "
            "application" % component.name
        )
    return Health(status)


class Health(Sensor):
    """Readings: each number and text of the status by its name, and the numbers of its tables
    summed over their rows: {"t": s, "boot": …, "link": …, "streams": how many, "captured": …, …}.
    """

    def __init__(self, status):
        self._status = status

    def readings(self):
        """As they are now."""
        status = self._status()
        flat = {}
        for name in status:
            value = status[name]
            if isinstance(value, dict):
                flat[name] = len(value)
                for row in value.values():
                    for key in row:
                        if isinstance(row[key], (int, float)):
                            flat[key] = flat.get(key, 0) + row[key]
            elif isinstance(value, (int, float, str)):
                flat[name] = value
        return flat

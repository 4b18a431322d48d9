"""What a plan is made of: plain values."""

from collections import namedtuple

Component = namedtuple("Component", ("name", "type", "model", "attributes", "depends_on", "path"))
Collector = namedtuple(
    "Collector",
    (
        "component",
        "component_type",
        "method",
        "params",
        "frequency_hz",
        "period_us",
        "period_rem",
        "period_den",
        "ring_bytes",
        "tags",
        "path",
    ),
)


class Service:
    """The data manager: every attribute of docs/CONFIG.md under its name, at its value or default.

    Besides: sync_interval_ms, name, and path, which is None where the machine has no data manager
    (capture and sync are disabled then). tags and additional_sync_paths are tuples of str,
    mongo_capture_config is a dict with uri, database and collection.
    """


class Plan:
    """What a machine is to do.

    service: Service.
    components: [Component] in the order of the configuration. type is a full triplet; model has no
        "rdk:builtin:" before it.
    collectors: [Collector] without the disabled ones. The period is period_us + period_rem /
        period_den microseconds: to keep it for ever, wait 1 µs more each time the remainders add
        up to period_den.
    problems: [explain.Problem]: path ('components[0] "tmp36".model'; "" is the whole), message,
        and level: "error" (that entry is refused), "warning" or "info".
    """

    def __init__(self):
        self.service = Service()
        self.components = []
        self.collectors = []
        self.problems = []

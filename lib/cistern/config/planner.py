"""Machine configuration as a dict → Plan of plain values.

Reads Viam's whole machine JSON in either spelling (`sensor` or `rdk:component:sensor`, `Readings`
or `GetReadings`), from a file or as the cloud's protobuf gives it, where every number is a float.
It never raises on any JSON value. explain.py has the words for what is wrong.
"""

from cistern.borrow import borrow

const = int  # MicroPython's compiler knows const() by its name
_entries = borrow("cistern.config.entries")
# Characters of a component's name or a tag: Viam's limit; it bounds a stream definition on flash.
_MAX_NAME = const(60)
# Bytes of all tags and params of a collector. Every sector with its readings repeats them, in the
# 512 B that a full parcel leaves for headers and definition: 100 B names, 200 B shape, and these.
_MAX_LABELS = const(192)
_DATA_MANAGER = "rdk:service:data_manager"

# Tables of attributes: name → default. The default's type is the type asked for (a tuple asks for
# a list, a float for any number); a type in its place says that the attribute must be given.
_MACHINE = {"components": (), "services": ()}
_RESOURCE = {
    "name": "",
    "namespace": "rdk",
    "type": "",
    "api": "",
    "model": "",
    "attributes": {},
    "depends_on": (),
    "service_configs": (),
}
_COMPONENT = dict(_RESOURCE, name=str, model=str)
_SERVICE = {
    "capture_disabled": False,
    "sync_disabled": False,
    "sync_interval_mins": 0.1,
    "tags": (),
    "cache_size_kb": 1.0,
    "flush_interval_ms": 1000,
    "capture_dir": "",
    "additional_sync_paths": (),
    "selective_syncer_name": "",
    "maximum_num_sync_threads": 1,
    "cloud_poll_secs": 10.0,
    "delete_every_nth_when_disk_full": 5,
    "delete_data_on_part_deletion": False,
    "mongo_capture_config": {},
}
_MONGO = {"uri": "", "database": "sensorData", "collection": "readings"}
_CAPTURE = {"capture_methods": ()}
_METHOD = {
    "method": str,
    "capture_frequency_hz": float,
    "cache_size_kb": 0.0,
    "additional_params": {},
    "disabled": False,
    "tags": (),
}
# Lowest and highest value of a number, both allowed.
_RANGES = {
    # Lowest: about one reading a day. Highest: taking and storing an ADC reading costs some 60 µs
    # (measured in an emulator of the chip): 2 kHz are an eighth of the CPU.
    "capture_frequency_hz": (0.00001, 2000),
    "cache_size_kb": (1, 4000),  # 4 MB is the largest PSRAM that an ESP32 can map
    # A year. viam-server takes anything closer to 0 than 0.0001 for the default.
    "sync_interval_mins": (-0.0001, 525600),
    # Ages in RAM are told by ticks, which are unambiguous for 536 s.
    "flush_interval_ms": (100, 300000),
    "maximum_num_sync_threads": (0, 10000),
    "cloud_poll_secs": (1, 86400),  # a day
    "delete_every_nth_when_disk_full": (0, 1000000),
}
# Parsed, but not done yet (or only by the cloud): reported where the value asks for something.
_LATER = ("additional_sync_paths", "delete_data_on_part_deletion")
# Problems that refuse nothing.
_NOTES = ("key", "later", "depends", "manager")


def plan(machine, catalog):
    """(Plan, [(code, path, details)] for explain.py) of a machine configuration."""
    planner = _Planner(catalog)
    planner.machine(machine)
    return planner.plan, planner.found


def period(hz):
    """(µs, remainder, denominator) of a rate in Hz, to the six digits that 32-bit floats keep."""
    den = 1
    while hz * den < 100000:
        den *= 10
    num = int(hz * den + 0.5)
    den *= 1000000
    return den // num, den % num, num


def _is(value, kind):
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, (int, float))
    if kind is int and isinstance(value, float):
        return value % 1 == 0
    return isinstance(value, list if kind is tuple else kind)


def _plain(text):
    """Whether it is 1 to _MAX_NAME ASCII letters, digits, - and _."""
    for c in text:
        if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_"):
            return False
    return 0 < len(text) <= _MAX_NAME


def _present(value):
    """It without the nulls in its objects, which mean the same as absent keys."""
    if isinstance(value, dict):
        return {k: _present(value[k]) for k in value if value[k] is not None}
    return [_present(v) for v in value] if isinstance(value, list) else value


def _bytes(values):
    """At least as many as the texts of the values have in UTF-8."""
    return sum(1 if c < "\x80" else 4 for value in values for c in str(value))


def _triplet(entry, kind):
    """The full type of an entry; "" where it has none."""
    name = entry["api"] or entry["type"]
    return name if ":" in name or not name else ":".join((entry["namespace"], kind, name))


class _Planner:
    """found: (code, path, details) of each problem; errors: how many of them refuse something."""

    def __init__(self, catalog):
        self.plan = _entries.Plan()
        self.found = []
        self.errors = 0
        self._catalog = catalog
        self._names = {}  # name of a component → its path

    def machine(self, machine):
        """Fills the plan."""
        machine = self._take(machine, "", _MACHINE)
        manager = None
        for i, entry in enumerate(machine["services"]):
            path = "services[%d]" % i
            service = self._take(entry, path, _RESOURCE)
            if _triplet(service, "service") != _DATA_MANAGER:
                self._kind(path, service, "service")
            elif manager:
                self._bad("second", path, manager)
            else:
                manager = path
                self._service(service["attributes"], path, service["name"])
        if not manager:
            # As in Viam: without a data manager, nothing is captured.
            self._service({"capture_disabled": True, "sync_disabled": True}, None, "")
        for i, entry in enumerate(machine["components"]):
            self._component(entry, "components[%d]" % i)
        for c in self.plan.components:
            for i, name in enumerate(c.depends_on):
                if name not in self._names:
                    self._bad("depends", "%s.depends_on[%d]" % (c.path, i), name, self._names)
        if self.plan.collectors and not manager:
            self._bad("manager", "services")
        syncer = self.plan.service.selective_syncer_name
        if syncer and syncer not in self._names:
            self._bad("syncer", manager + ".attributes.selective_syncer_name", syncer, self._names)

    def _bad(self, code, path, *details):
        self.found.append((code, path, details))
        if code not in _NOTES:
            self.errors += 1

    def _kind(self, path, entry, what):
        """Reports the type of an entry as unknown here."""
        at = path + (".api" if entry["api"] else ".type")
        self._bad("kind", at, _triplet(entry, what), what, entry["api"] or entry["type"])

    def _take(self, entry, path, table):
        """{name: value, or default (or None) where it is absent or wrong} of an object."""
        if not _is(entry, dict):
            self._bad("type", path, entry, dict, "")
            entry = {}
        taken = {}
        for name in table:
            default = table[name]
            kind = type(default)
            if kind is type:
                kind, default = default, None
            value = entry.get(name)
            at = path + "." + name
            if value is None:
                if default is None:
                    self._bad("missing", at, kind)
            elif not _is(value, kind):
                self._bad("type", at, value, kind, default)
                value = None
            elif name in _RANGES and not _RANGES[name][0] <= value <= _RANGES[name][1]:
                self._bad("range", at, value, _RANGES[name], default)
                value = None
            elif kind is int:
                value = int(value)
            taken[name] = default if value is None else value
        for name in entry:
            if name not in table:
                self._bad("key", path, name, entry[name], table)
        return taken

    def _texts(self, values, path, code):
        """Those elements of a list that are text, and plain where they are tags."""
        good = []
        for i, value in enumerate(values):
            if _is(value, str) and (code != "tag" or _plain(value)):
                good.append(value)
            else:
                self._bad(code, "%s[%d]" % (path, i), value, str, "")
        return tuple(good)

    def _service(self, attributes, path, name):
        at = "%s.attributes" % path
        s = self._take(attributes, at, _SERVICE)
        mongo = self._take(s["mongo_capture_config"], at + ".mongo_capture_config", _MONGO)
        for key in _LATER:
            if s[key] and attributes.get(key):
                self._bad("later", at + "." + key, key)
        if mongo["uri"]:
            self._bad("later", at + ".mongo_capture_config", "")
        for key in ("tags", "additional_sync_paths"):
            s[key] = self._texts(s[key], at + "." + key, "tag" if key == "tags" else "type")
        if s["sync_interval_mins"] < 0.0001:
            s["sync_interval_mins"] = _SERVICE["sync_interval_mins"]
        s["sync_interval_ms"] = int(s["sync_interval_mins"] * 60000 + 0.5)
        s["mongo_capture_config"] = mongo
        s["name"] = name
        s["path"] = path
        for key in s:
            setattr(self.plan.service, key, s[key])

    def _component(self, entry, path):
        before = self.errors
        name = entry.get("name") if _is(entry, dict) else ""
        at = path
        if _is(name, str) and _plain(name):
            path += ' "%s"' % name  # by which people know it
        entry = self._take(entry, path, _COMPONENT)
        name = entry["name"]
        if name in self._names:
            self._bad("twice", path + ".name", name, self._names[name])
        elif name is not None:
            self._names[name] = at
            if not _plain(name) or name[0] in "-_":
                self._bad("name", path + ".name", name)
        kind = _triplet(entry, "component")
        models = list(self._catalog.models(kind)) if kind.startswith("rdk:component:") else ()
        if not models:
            self._kind(path, entry, "component")
            return
        model = entry["model"] or ""
        attributes = _present(entry["attributes"])
        if model.startswith("rdk:builtin:"):
            model = model[12:]
        if model in models:
            self._own(kind, model, attributes, path + ".attributes")
        elif entry["model"] is not None:
            self._bad("model", path + ".model", model, models)
        depends_on = self._texts(entry["depends_on"], path + ".depends_on", "type")
        component = _entries.Component(name, kind, model, attributes, depends_on, path)
        right = self.errors == before
        if right:
            self.plan.components.append(component)
        for i, config in enumerate(entry["service_configs"]):
            self._service_config(config, "%s.service_configs[%d]" % (path, i), component, right)

    def _own(self, kind, model, attributes, path):
        try:
            for sub, message in self._catalog.check(kind, model, attributes):
                self._bad("own", path, sub, message)
        except Exception as e:
            # A model is code from anywhere: its mistake must not take the others' capture along.
            self._bad("own", path, "", "the model %s cannot check them: %r" % (model, e))

    def _service_config(self, config, path, component, right):
        config = self._take(config, path, _RESOURCE)
        if _triplet(config, "service") != _DATA_MANAGER:
            self._kind(path, config, "service")
            return
        path += ".attributes"
        methods = self._take(config["attributes"], path, _CAPTURE)["capture_methods"]
        for i, entry in enumerate(methods):
            collector = self._collector(entry, "%s.capture_methods[%d]" % (path, i), component)
            if collector and right:
                self._add(collector)

    def _add(self, collector):
        for c in self.plan.collectors:
            if c[:4] == collector[:4]:
                self._bad("same", collector.path, c.path)
                return
        self.plan.collectors.append(collector)

    def _collector(self, entry, path, component):
        if _is(entry, dict) and entry.get("disabled") is True:
            return None
        before = self.errors
        entry = self._take(entry, path, _METHOD)
        method = entry["method"]
        params = _present(entry["additional_params"])
        if method:
            known = list(self._catalog.methods(component.type))
            if method not in known and method[:3] == "Get":
                method = method[3:]
            if method not in known:
                self._bad("method", path + ".method", method, known)
            else:
                self._params(params, path + ".additional_params", component.type, method)
        if self.errors > before:
            return None
        service = self.plan.service
        tags = self._texts(entry["tags"], path + ".tags", "tag")
        tags = service.tags + tuple(t for t in tags if t not in service.tags)
        size = _bytes(tags) + _bytes(params) + _bytes(params.values())
        if size > _MAX_LABELS:
            self._bad("long", path, size, _MAX_LABELS)
            return None
        return _entries.Collector(
            component.name,
            component.type,
            method,
            params,
            entry["capture_frequency_hz"],
            *period(entry["capture_frequency_hz"]),
            int((entry["cache_size_kb"] or service.cache_size_kb) * 1000 + 0.5),
            tags,
            path,
        )

    def _params(self, params, path, kind, method):
        needed = self._catalog.method_params(kind, method)
        for name in needed:
            value = params.get(name)
            # Pin 27 is "27": one stream, whether the file had a number, text, or protobuf's 27.0.
            if _is(value, int):
                params[name] = str(int(value))
            elif not value or not _is(value, str):
                self._bad("param", path + "." + name, method)
        for name in params:
            if name not in needed and isinstance(params[name], (dict, list)):
                self._bad("nested", path, name, params[name])

"""What a machine configuration means, and what is said about an entry that means nothing."""

import sys

from cistern import config


class Catalog:
    """Stands in for cistern.resources: the same four questions."""

    MODELS = {"rdk:component:sensor": ("fake", "tmp36"), "rdk:component:board": ("esp32",)}
    METHODS = {"rdk:component:sensor": ("Readings",), "rdk:component:board": ("Analogs", "Gpios")}

    def models(self, kind):
        return self.MODELS.get(kind, ())

    def methods(self, kind):
        return self.METHODS.get(kind, ())

    def method_params(self, kind, method):
        return {"Analogs": ("reader_name",), "Gpios": ("pin_name",)}.get(method, ())

    def check(self, kind, model, attributes):
        if attributes.get("explode"):
            raise ValueError("boom")
        if model == "tmp36" and "analog_reader" not in attributes:
            return [("analog_reader", "missing: give a string")]
        return []


def plan(machine):
    return config.plan(machine, Catalog())


def capture(*methods):
    return [{"type": "data_manager", "attributes": {"capture_methods": list(methods)}}]


def sensor(name="s", *methods, **more):
    entry = {"name": name, "type": "sensor", "model": "fake", "service_configs": capture(*methods)}
    entry.update(more)
    return entry


def readings(hz=1, **more):
    entry = {"method": "Readings", "capture_frequency_hz": hz}
    entry.update(more)
    return entry


def machine(*components, **attributes):
    manager = {"name": "dm", "type": "data_manager", "attributes": attributes}
    return {"services": [manager], "components": list(components)}


def test_null_is_the_same_as_absent_in_what_a_model_takes_too():
    config = {"analog_reader": None, "board": None, "list": [{"a": None, "b": 1}, None]}
    p = plan(machine(sensor("s", model="tmp36", attributes=config)))
    assert told(p, "components[0].attributes.analog_reader") == ["error: missing: give a string"]
    config["analog_reader"] = "A1"
    p = plan(machine(sensor("s", model="tmp36", attributes=config)))
    (c,) = p.components
    assert c.attributes == {"analog_reader": "A1", "list": [{"b": 1}, None]} and not p.problems
    p = plan(machine(sensor("s", readings(1, additional_params={"x": None, "y": 2}))))
    assert p.collectors[0].params == {"y": 2}


def place(path):
    """A problem's path without the name of its component."""
    before, named, rest = path.partition('] "')
    return before + "]" + rest.split('"', 1)[1] if named else path


def told(p, path):
    """The problems with that path, as "level: message"."""
    return ["%s: %s" % (x.level, x.message) for x in p.problems if place(x.path) == path]


def only(p, path, words, level="error"):
    """That the plan has one problem, at that path, with those words."""
    assert [place(x.path) for x in p.problems] == [path], p.problems
    assert words in p.problems[0].message and p.problems[0].level == level, p.problems


METHOD = "components[0].service_configs[0].attributes.capture_methods[%d]"


def test_the_example_of_viams_documentation():
    p = plan(
        {
            "services": [
                {
                    "attributes": {
                        "capture_dir": "",
                        "tags": [],
                        "additional_sync_paths": [],
                        "sync_interval_mins": 3,
                    },
                    "name": "dm",
                    "namespace": "rdk",
                    "type": "data_manager",
                }
            ],
            "components": [
                {
                    "type": "sensor",
                    "model": "tmp36",
                    "attributes": {"analog_reader": "temp", "num_readings": 15},
                    "depends_on": [],
                    "service_configs": [
                        {
                            "attributes": {
                                "capture_methods": [
                                    {
                                        "capture_frequency_hz": 0.2,
                                        "cache_size_kb": 10,
                                        "additional_params": {},
                                        "method": "Readings",
                                    }
                                ]
                            },
                            "type": "data_manager",
                        }
                    ],
                    "name": "tmp36",
                    "namespace": "rdk",
                }
            ],
        }
    )
    assert p.problems == []
    assert p.service.path == "services[0]" and p.service.name == "dm"
    assert p.service.sync_interval_ms == 180000
    (t,) = p.components
    assert t.name == "tmp36" and t.type == "rdk:component:sensor" and t.model == "tmp36"
    assert t.attributes["num_readings"] == 15 and t.depends_on == ()
    assert t.path == 'components[0] "tmp36"'
    (c,) = p.collectors
    assert c.component == "tmp36" and c.component_type == "rdk:component:sensor"
    assert c.method == "Readings" and c.params == {} and c.tags == ()
    assert (c.period_us, c.period_rem) == (5000000, 0)
    assert c.ring_bytes == 10000
    assert c.path == (METHOD % 0).replace("components[0]", 'components[0] "tmp36"')


def test_the_cloud_sends_the_same_in_other_words():
    """RobotConfig of viam.app.v1: full triplets, an api, numbers as floats, null for nothing."""
    p = plan(
        {
            "services": [
                {
                    "name": "dm",
                    "api": "rdk:service:data_manager",
                    "type": "data_manager",
                    "model": "rdk:builtin:builtin",
                    "attributes": {"sync_interval_mins": 0.5, "flush_interval_ms": 2000.0},
                }
            ],
            "components": [
                {
                    "name": "b",
                    "api": "rdk:component:board",
                    "model": "rdk:builtin:esp32",
                    "attributes": None,
                    "service_configs": [
                        {
                            "type": "rdk:service:data_manager",
                            "attributes": {
                                "capture_methods": [
                                    {
                                        "method": "GetGpios",
                                        "capture_frequency_hz": 100.0,
                                        "cache_size_kb": 2.0,
                                        "additional_params": {"pin_name": 27.0},
                                    }
                                ]
                            },
                        }
                    ],
                }
            ],
        }
    )
    assert p.problems == []
    assert p.service.sync_interval_ms == 30000
    assert p.service.flush_interval_ms == 2000 and isinstance(p.service.flush_interval_ms, int)
    (c,) = p.collectors
    assert (c.component_type, c.method) == ("rdk:component:board", "Gpios")
    assert c.params == {"pin_name": "27"}
    assert c.ring_bytes == 2000 and c.period_us == 10000
    assert p.components[0].model == "esp32" and p.components[0].attributes == {}


def test_spellings_of_types_and_methods():
    for kind in (
        {"type": "sensor"},
        {"type": "rdk:component:sensor"},
        {"api": "rdk:component:sensor"},
    ):
        for manager in ("data_manager", "rdk:service:data_manager"):
            for model in ("fake", "rdk:builtin:fake"):
                for method in ("Readings", "GetReadings"):
                    entry = {"name": "s", "model": model, "service_configs": capture(readings())}
                    entry.update(kind)
                    entry["service_configs"][0]["type"] = manager
                    entry["service_configs"][0]["attributes"]["capture_methods"][0]["method"] = (
                        method
                    )
                    p = plan({"services": [{"name": "d", "type": manager}], "components": [entry]})
                    assert p.problems == [] and len(p.collectors) == 1
                    assert p.collectors[0].method == "Readings"
                    assert p.components[0].model == "fake"


def test_defaults():
    p = plan(machine(sensor("s", readings())))
    s = p.service
    assert not s.capture_disabled and not s.sync_disabled
    assert s.sync_interval_ms == 6000 and s.flush_interval_ms == 1000
    assert s.tags == () and s.additional_sync_paths == ()
    assert s.capture_dir == "" and s.selective_syncer_name == ""
    assert s.maximum_num_sync_threads == 1 and s.delete_every_nth_when_disk_full == 5
    assert s.delete_data_on_part_deletion is False
    assert s.mongo_capture_config == {
        "uri": "",
        "database": "sensorData",
        "collection": "readings",
    }
    assert p.collectors[0].ring_bytes == 1000


def test_a_cache_size_of_the_data_manager_is_the_default_of_every_collector():
    p = plan(
        machine(sensor("s", readings()), sensor("t", readings(cache_size_kb=2)), cache_size_kb=4.5)
    )
    assert [c.ring_bytes for c in p.collectors] == [4500, 2000]
    assert p.problems == []


def test_the_sync_interval():
    for mins, ms in (
        (1, 60000),
        (0.25, 15000),
        (0, 6000),
        (0.00005, 6000),
        (-0.00005, 6000),
        (3.0, 180000),
    ):
        p = plan(machine(sync_interval_mins=mins))
        assert p.service.sync_interval_ms == ms and p.problems == [], mins
    path = "services[0].attributes.sync_interval_mins"
    for wrong in (-1, "1", True, 1e30, float("nan"), float("inf"), [1]):
        p = plan(machine(sync_interval_mins=wrong))
        assert p.service.sync_interval_ms == 6000
        only(p, path, "0.1 is used")
    only(plan(machine(sync_interval_mins=-1)), path, "-1 is out of range: 0 to 525600 minutes")


def test_a_wrong_frequency_refuses_its_collector_and_no_other():
    for wrong, words in (
        (0, "0 is out of range: above 0 and at most 2000 Hz"),
        (-5, "-5 is out of range"),
        (-0.5, "-0.5 is out of range"),
        (2000.5, "out of range"),
        (float("nan"), "nan is out of range"),
        (float("inf"), "inf is out of range"),
        (10**40, "very many digits is out of range"),
        (0.000001, "at least 0.00001"),
        ("10", '"10" is not a number, which is written without quotes'),
        ("fast", '"fast" is not a number'),
        (True, "true is not a number"),
        ([1], "a list is not a number"),
        ({}, "an object is not a number"),
        (None, "missing: give readings a second"),
    ):
        p = plan(machine(sensor("s", readings(wrong)), sensor("t", readings(5))))
        only(p, METHOD % 0 + ".capture_frequency_hz", words)
        assert [c.component for c in p.collectors] == ["t"]
        assert [c.name for c in p.components] == ["s", "t"]


def test_a_wrong_cache_size_refuses_its_collector_and_no_other():
    for wrong, words in (
        (0, "0 is out of range: 1 to 4000 (KB of 1000 bytes)"),
        (0.999, "out of range"),
        (-1, "out of range"),
        (4001, "out of range"),
        (float("nan"), "out of range"),
        ("10", "not a number"),
        (False, "false is not a number"),
    ):
        p = plan(machine(sensor("s", readings(cache_size_kb=wrong)), sensor("t", readings())))
        only(p, METHOD % 0 + ".cache_size_kb", words)
        assert [c.component for c in p.collectors] == ["t"]
    assert plan(machine(sensor("s", readings(cache_size_kb=1)))).collectors[0].ring_bytes == 1000


def test_periods_do_not_drift():
    for hz, us, rem, den in (
        (100, 10000, 0, 1),
        (2, 500000, 0, 1),
        (0.2, 5000000, 0, 1),
        (2000, 500, 0, 1),
        (3, 333333, 1, 3),
        (0.333, 3003003, 1, 333),
        (44.1, 22675, 325, 441),
        (4.35, 229885, 25, 435),  # 434999.99999999994 / 100000
        (999.999, 1000, 1000, 999999),
        (0.00001, 100000000000, 0, 1),
    ):
        (c,) = plan(machine(sensor("s", readings(hz)))).collectors
        assert c.period_us == us and c.period_rem * den == rem * c.period_den, (hz, c)
        assert c.period_rem < c.period_den < 1 << 30  # small ints on the chip
        assert c.frequency_hz == hz


def test_a_third_of_a_second_comes_out_even():
    (c,) = plan(machine(sensor("s", readings(3)))).collectors
    at = left = 0
    for _ in range(3000):
        at += c.period_us
        left += c.period_rem
        if left >= c.period_den:
            left -= c.period_den
            at += 1
    assert at == 1000 * 1000000


def test_of_two_equal_collectors_the_first_runs():
    p = plan(machine(sensor("s", readings(1), readings(5), readings(7, method="GetReadings"))))
    assert [c.frequency_hz for c in p.collectors] == [1]
    assert [place(x.path) for x in p.problems] == [METHOD % 1, METHOD % 2]
    assert place(p.problems[0].message.split(" as ")[1]) == METHOD % 0 + ", which runs"


def test_one_method_with_other_params_is_another_collector():
    def analogs(reader):
        return {
            "method": "Analogs",
            "capture_frequency_hz": 10,
            "additional_params": {"reader_name": reader},
        }

    p = plan(
        machine(
            sensor("b", analogs("A1"), analogs("A2"), analogs("A1"), type="board", model="esp32")
        )
    )
    assert [c.params["reader_name"] for c in p.collectors] == ["A1", "A2"]
    assert [place(x.path) for x in p.problems] == [METHOD % 2]


def test_a_pin_is_one_stream_however_it_is_written():
    def gpios(pin):
        return {
            "method": "Gpios",
            "capture_frequency_hz": 1,
            "additional_params": {"pin_name": pin},
        }

    p = plan(
        machine(sensor("b", gpios("27"), gpios(27), gpios(27.0), type="board", model="esp32"))
    )
    assert [c.params for c in p.collectors] == [{"pin_name": "27"}]
    assert len(p.problems) == 2


def test_a_method_of_viam_that_is_not_there_yet_is_known():
    for method in ("DoCommand", "GetImages"):
        p = plan(machine(sensor("s", readings(method=method))))
        only(p, METHOD % 0 + ".method", "%s: known, not yet supported" % method.replace("Get", ""))


def test_the_name_of_a_component_is_in_its_paths():
    p = plan(machine(sensor("greenhouse", readings(-1)), sensor("no name", model="x")))
    assert p.problems[0].path.startswith('components[0] "greenhouse".service_configs[0].')
    assert p.problems[1].path == "components[1].name"


def test_a_param_that_a_method_needs():
    for params in (
        {},
        {"pin_name": 27},
        {"reader_name": ""},
        {"reader_name": True},
        {"reader_name": ["A1"]},
    ):
        entry = {"method": "Analogs", "capture_frequency_hz": 1, "additional_params": params}
        p = plan(machine(sensor("b", entry, type="board", model="esp32")))
        only(p, METHOD % 0 + ".additional_params.reader_name", "Analogs needs it")
        assert p.collectors == []
    p = plan(
        machine(sensor("s", readings(additional_params={"mime_type": "image/jpeg", "depth": {}})))
    )
    only(
        p,
        METHOD % 0 + ".additional_params.depth",
        "an object is not a string, number, true or false",
    )


def test_an_unknown_model_method_or_type_refuses_its_entry_and_no_other():
    good = sensor("t", readings())
    for entry, path, words in (
        (
            sensor("s", model="fak"),
            "components[0].model",
            'unknown model "fak"; did you mean "fake"?',
        ),
        (sensor("s", model="bme280"), "components[0].model", "known: fake, tmp36"),
        (sensor("s", model=None), "components[0].model", "missing: give such as fake"),
        (sensor("s", model=7), "components[0].model", "7 is not a string"),
        (sensor("s", type="sensr"), "components[0].type", 'did you mean "sensor"?'),
        (sensor("s", type="camera"), "components[0].type", "camera: known, not yet supported"),
        (sensor("s", type=None), "components[0].type", "missing"),
        (sensor("s", type=7), "components[0].type", "7 is not a string"),
        (sensor("s", type="rdk:service:sensor"), "components[0].type", "unknown component type"),
        (sensor("s", api="acme:component:sensor"), "components[0].api", "unknown component type"),
    ):
        p = plan(machine(entry, good))
        only(p, path, words)
        assert [c.name for c in p.components] == ["t"] and len(p.collectors) == 1
    for method, words in (
        ("Reading", 'unknown method "Reading"; did you mean "Readings"?'),
        ("GetPosition", "known: Readings"),
        (7, "7 is not a string"),
        (None, "missing: give what to capture"),
    ):
        p = plan(machine(sensor("s", readings(method=method)), good))
        only(p, METHOD % 0 + ".method", words)
        assert [c.component for c in p.collectors] == ["t"] and len(p.components) == 2


def test_a_models_own_word_on_its_attributes():
    p = plan(
        machine(sensor("s", readings(), model="tmp36", attributes={}), sensor("t", readings()))
    )
    only(p, "components[0].attributes.analog_reader", "missing: give a string")
    assert [c.component for c in p.collectors] == ["t"]


def test_a_model_that_fails_at_the_check_stops_no_other():
    p = plan(machine(sensor("s", readings(), attributes={"explode": 1}), sensor("t", readings())))
    only(p, "components[0].attributes", "boom")
    assert [c.component for c in p.collectors] == ["t"]


def test_names():
    for name, words in (
        (None, "missing: give a name that no other component has"),
        ("", "is no name"),
        ("a b", "is no name"),
        ("a:b", "is no name"),
        ("_a", "is no name"),
        ("Küche", "is no name"),
        ("x" * 61, "is no name"),
        (5, "5 is not a string"),
    ):
        p = plan(machine(sensor(name, readings()), sensor("t", readings())))
        only(p, "components[0].name", words)
        assert [c.component for c in p.collectors] == ["t"]
    p = plan(machine(sensor("x" * 60, readings()), sensor("0-_Z", readings())))
    assert p.problems == [] and len(p.collectors) == 2


def test_of_two_components_of_one_name_the_first_runs():
    p = plan(machine(sensor("s", readings(1)), sensor("s", readings(2))))
    only(p, "components[1].name", '"s" is the name of components[0] too')
    assert [c.frequency_hz for c in p.collectors] == [1]


def test_a_refused_component_still_has_its_collectors_checked():
    p = plan(machine(sensor("a b", readings(-1))))
    assert [place(x.path) for x in p.problems] == [
        "components[0].name",
        METHOD % 0 + ".capture_frequency_hz",
    ]
    assert p.components == p.collectors == []


def test_a_component_may_not_depend_on_nothing():
    p = plan(machine(sensor("s", depends_on=["t"]), sensor("t", depends_on=["ss"])))
    only(p, "components[1].depends_on[0]", 'no component is named "ss"', "warning")
    assert len(p.components) == 2
    only(
        plan(machine(sensor("s", depends_on=["s", 5]))),
        "components[0].depends_on[1]",
        "not a string",
    )


def test_without_a_data_manager_nothing_is_captured_and_that_is_said():
    for services in ([], None, [{"name": "m", "type": "motion"}]):
        p = plan({"services": services, "components": [sensor("s", readings())]})
        assert p.service.path is None
        assert p.service.capture_disabled and p.service.sync_disabled
        assert len(p.collectors) == 1
        (words,) = told(p, "services")
        assert words.startswith("error: nothing will be captured") and "data_manager" in words
    assert plan({"components": [sensor("s")]}).problems == []


def test_of_two_data_managers_the_first_is_used():
    both = machine(sensor("s", readings()), tags=["one"])
    both["services"].append(
        {"name": "dm2", "type": "data_manager", "attributes": {"tags": ["two"]}}
    )
    p = plan(both)
    assert p.service.tags == ("one",)
    only(p, "services[1]", "services[0] is used")


def test_what_is_known_and_not_done_yet_is_said():
    for key, value in (
        ("additional_sync_paths", ["/a"]),
        ("mongo_capture_config", {"uri": "mongodb://127.0.0.1"}),
        ("file_last_modified_millis", 500),
        ("capture_control_sensor", {"name": "a", "key": "b"}),
    ):
        p = plan(machine(**{key: value}))
        only(p, "services[0].attributes." + key, "known, not yet supported", "warning")
    for key in ("remotes", "processes", "modules", "fragments", "jobs", "packages"):
        p = plan({key: [{"name": "x"}]})
        only(p, key, "known, not yet supported", "warning")
    p = plan(
        machine(
            sensor(
                "s", readings(capture_queue_size=9, capture_buffer_size=9), frame={"parent": "w"}
            )
        )
    )
    assert {place(x.path) for x in p.problems} == {
        "components[0].frame",
        METHOD % 0 + ".capture_queue_size",
        METHOD % 0 + ".capture_buffer_size",
    }
    assert {x.message for x in p.problems} == {"known, not yet supported"}
    p = plan({"services": [{"name": "v", "type": "vision"}]})
    only(p, "services[0].type", "service vision: known, not yet supported", "warning")


def test_what_the_cloud_does_is_said_so():
    p = plan(machine(delete_data_on_part_deletion=True))
    only(p, "services[0].attributes.delete_data_on_part_deletion", "done by the cloud", "info")
    entry = sensor("s", readings(retention_policy={"days": 5}))
    entry["service_configs"][0]["attributes"]["retention_policy"] = {"days": 5}
    p = plan(machine(entry))
    assert [x.level for x in p.problems] == ["info", "info"] and len(p.collectors) == 1


def test_a_value_that_asks_for_nothing_is_no_problem():
    p = plan(
        dict(
            machine(
                sensor(
                    "s",
                    readings(retention_policy={}, capture_queue_size=0),
                    frame={},
                    namespace="rdk",
                ),
                capture_dir="",
                additional_sync_paths=[],
                selective_syncer_name="",
                maximum_num_sync_threads=1,
                delete_data_on_part_deletion=False,
                mongo_capture_config={"uri": ""},
            ),
            remotes=[],
            modules=None,
        )
    )
    assert p.problems == []


def test_an_unknown_key_is_named_with_the_nearest_known_one():
    only(plan({"component": []}), "component", 'unknown; did you mean "components"?', "warning")
    p = plan(machine(sync_interval_min=1))
    only(p, "services[0].attributes.sync_interval_min", '"sync_interval_mins"?', "warning")
    p = plan(machine(sensor("s", readings(capture_frequency=1))))
    only(p, METHOD % 0 + ".capture_frequency", '"capture_frequency_hz"?', "warning")
    assert len(p.collectors) == 1
    p = plan(machine(sensor("s", readings(dissabled=True))))
    only(p, METHOD % 0 + ".dissabled", '"disabled"?', "warning")
    p = plan({"what is [this]": 1})
    assert p.problems[0].path == '["what is [this]"]'


def test_tags():
    p = plan(
        machine(
            sensor("s", readings(tags=["b", "x", "no way"])), tags=["a", "b", "ü", 5, "x" * 61, ""]
        )
    )
    assert p.service.tags == ("a", "b")
    assert p.collectors[0].tags == ("a", "b", "x")
    at = "services[0].attributes.tags[%d]"
    assert [place(x.path) for x in p.problems] == [
        at % 2,
        at % 3,
        at % 4,
        at % 5,
        METHOD % 0 + ".tags[2]",
    ]
    assert '"no way" is no tag: letters, digits, - and _' in p.problems[-1].message
    p = plan(machine(sensor("s", readings()), tags="a"))
    only(p, "services[0].attributes.tags", '"a" is not a list')
    assert p.collectors[0].tags == ()


def test_tags_and_params_are_bounded_together():
    many = ["t%058d" % i for i in range(3)]  # 177 bytes
    for word, fits in (("x" * 14, True), ("x" * 15, False), ("é" * 4, False)):
        p = plan(machine(sensor("s", readings(additional_params={"k": word})), tags=many))
        assert len(p.collectors) == fits, word
        if not fits:
            only(p, METHOD % 0, "bytes together; 192 fit")


def test_a_disabled_collector_is_left_out():
    p = plan(machine(sensor("s", readings(-1, disabled=True), readings(2, disabled=False))))
    assert p.problems == [] and [c.frequency_hz for c in p.collectors] == [2]
    p = plan(machine(sensor("s", readings(1, disabled="true"))))
    only(p, METHOD % 0 + ".disabled", '"true" is not true or false')
    assert p.collectors == []


def test_wrong_kinds_of_values_refuse_what_they_stand_in():
    for broken, path, words in (
        ([], "", "a list is not an object"),
        (None, "", "null is not an object"),
        ({"components": {}}, "components", "an object is not a list"),
        ({"services": "x"}, "services", '"x" is not a list'),
        ({"services": [5]}, "services[0]", "5 is not an object"),
        ({"components": ["x"]}, "components[0]", '"x" is not an object'),
        (
            machine(sensor("s", attributes=[])),
            "components[0].attributes",
            "a list is not an object",
        ),
        (machine(sensor("s", depends_on="b")), "components[0].depends_on", "is not a list"),
        (
            machine(sensor("s", service_configs={})),
            "components[0].service_configs",
            "is not a list",
        ),
        (machine(sensor("s", 5)), METHOD % 0, "5 is not an object"),
        (
            machine(sensor("s", readings(additional_params=[]))),
            METHOD % 0 + ".additional_params",
            "object",
        ),
        (
            machine(capture_disabled=1),
            "services[0].attributes.capture_disabled",
            "; false is used",
        ),
        (machine(sync_disabled="no"), "services[0].attributes.sync_disabled", "; false is used"),
        (
            machine(flush_interval_ms=50),
            "services[0].attributes.flush_interval_ms",
            "; 1000 is used",
        ),
        (
            machine(flush_interval_ms=500.5),
            "services[0].attributes.flush_interval_ms",
            "; 1000 is used",
        ),
        (
            machine(mongo_capture_config=[]),
            "services[0].attributes.mongo_capture_config",
            "object",
        ),
        (
            machine(capture_dir=5),
            "services[0].attributes.capture_dir",
            "5 is not a string; it is left out",
        ),
        (
            machine(additional_sync_paths=[5]),
            "services[0].attributes.additional_sync_paths[0]",
            "string",
        ),
    ):
        p = plan(broken)
        hits = [
            x
            for x in p.problems
            if place(x.path) == path and words in x.message and x.level == "error"
        ]
        assert len(hits) == 1, (path, p.problems)
        assert p.collectors == []


def test_secrets_are_not_shown():
    p = plan(
        dict(
            machine(
                mongo_capture_config={"uri": ["mongodb://me:hunter2@host"], "paswd": "hunter2"}
            ),
            cloud={"secret": "hunter2"},
            secret="hunter2",
        )
    )
    assert len(p.problems) == 4
    assert "hunter2" not in repr(p.problems)


def test_what_plans_and_explains_does_not_stay_in_memory():
    plan({"component": []})
    for name in ("planner", "explain"):
        assert "cistern.config." + name not in sys.modules
        assert not hasattr(config, name)

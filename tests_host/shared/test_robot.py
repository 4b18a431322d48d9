"""RobotService's messages: what a part learns from its cloud."""

from binascii import unhexlify

from cistern.cloud.protobuf import field, fields, struct_
from cistern.cloud.robot import log_request, must_restart, part_request, read_config, read_struct

# viam.md 3.11, "ConfigResponse with one sensor + data manager"
GOLDEN = (
    "0ad8030a3f0a09706172742d3132333412156d2d6d61696e2e6162632e7669616d2e636c6f75641a1b6d2d6d61"
    "696e2e6162632e6c6f63616c2e7669616d2e636c6f75641ae6010a05746d703336120372646b1a0673656e736f"
    "72221072646b3a6275696c74696e3a66616b653aa7010a1872646b3a736572766963653a646174615f6d616e61"
    "676572128a010a87010a0f636170747572655f6d6574686f6473127432720a702a6e0a170a116164646974696f"
    "6e616c5f706172616d7312022a000a1a0a0d63616368655f73697a655f6b6212091100000000000024400a210a"
    "14636170747572655f6672657175656e63795f687a1209119a9999999999c93f0a140a066d6574686f64120a1a"
    "0852656164696e67734a1472646b3a636f6d706f6e656e743a73656e736f722aa5010a02646d120372646b1a0c"
    "646174615f6d616e61676572225d0a1b0a156164646974696f6e616c5f73796e635f7061746873120232000a11"
    "0a0b636170747572655f64697212021a000a1f0a1273796e635f696e74657276616c5f6d696e73120911000000"
    "00000008400a0a0a047461677312023200321372646b3a6275696c74696e3a6275696c74696e4a1872646b3a73"
    "6572766963653a646174615f6d616e616765727a0472657631"
)


def test_a_configuration_is_read_as_viams_json_has_it():
    machine, revision = read_config(unhexlify(GOLDEN))
    assert revision == "rev1"
    (component,) = machine["components"]
    assert component["name"] == "tmp36" and component["api"] == "rdk:component:sensor"
    (config,) = component["service_configs"]
    assert config["type"] == "rdk:service:data_manager"
    assert config["attributes"] == {
        "capture_methods": [
            {
                "additional_params": {},
                "cache_size_kb": 10.0,
                "capture_frequency_hz": 0.2,
                "method": "Readings",
            }
        ]
    }
    (service,) = machine["services"]
    assert service["attributes"] == {
        "additional_sync_paths": [],
        "capture_dir": "",
        "sync_interval_mins": 3.0,
        "tags": [],
    }


def test_a_message_cut_anywhere_is_refused_or_read_but_never_crashes():
    whole = unhexlify(GOLDEN)
    for n in range(len(whole)):
        try:
            read_config(whole[:n])
        except ValueError:
            pass


def test_structs_come_back():
    d = {"a": None, "b": [True, False, 1.5, "x", {"y": {}}], "c": ""}
    assert read_struct(struct_(d)) == d


def test_too_deep_a_struct_is_refused():
    deep = b""
    for _ in range(60):
        deep = field(1, field(1, "x") + field(2, field(5, deep)))
    try:
        read_struct(deep)
    except ValueError as e:
        assert "deep" in str(e)
    else:
        raise AssertionError("accepted")


def test_restart_is_asked_for_or_not():
    assert must_restart(unhexlify("0a09706172742d313233341001"))
    assert not must_restart(unhexlify("0a09706172742d313233341a020805"))
    assert part_request("part-1234") == unhexlify("0a09706172742d31323334")


def test_log_lines_carry_time_level_and_text():
    data = log_request("p", [(1795365111000001, "warning", "cistern", "sync: away")])
    found = dict(fields(dict(fields(data))[2]))
    assert bytes(found[2]) == b"warning" and bytes(found[5]) == b"sync: away"
    assert dict(fields(found[3])) == {1: 1795365111, 2: 1000}

"""Machine configurations: DATA/machines/<part id>.json, in Viam's JSON, as RobotConfig for the
device.

A file that becomes unreadable never stops a device: it keeps getting the last good text, which is
kept in DATA/machines/.good/ so that a restart of the receiver does not forget it. An entry that
cannot be expressed is left out and named in the log; judging values is the device's part, see
docs/CONFIG.md.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

from google.protobuf.struct_pb2 import Struct
from viam.gen.app.v1.robot_pb2 import (
    CloudConfig,
    ComponentConfig,
    RemoteConfig,
    ResourceLevelServiceConfig,
    RobotConfig,
    ServiceConfig,
)

from .. import texts

FOLDER = "machines"
MAX_BYTES = 4 * 2**20  # of one configuration; a large machine has some 100 KB
# What Viam's machine JSON may hold at top level that RobotConfig takes from here.
_SECTIONS = ("components", "services", "remotes")
_FLAGS = ("debug", "disable_partial_start", "enable_web_profile")

log = logging.getLogger(__name__)


class NoMachineError(Exception):
    """There is no configuration for the part."""


class BrokenMachineError(Exception):
    """There is no readable configuration, now or before; str() is file:line:column: why."""


class Machines:
    """The configurations of one data folder; files may change at any time."""

    def __init__(self, data_dir):
        self._folder = Path(data_dir) / FOLDER
        self._good = self._folder / ".good"
        for folder in (self._folder, self._good):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._read = {}  # part -> (stamp of the file, RobotConfig)

    def config(self, part):
        """Returns a part's RobotConfig; raises NoMachineError or BrokenMachineError."""
        path = self._folder / f"{part}.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            self._read.pop(part, None)
            raise NoMachineError(
                f"there is no configuration for part {part}: put one into {FOLDER}/{path.name} "
                "of the receiver's data folder"
            ) from None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(part)
        if known and known[0] == stamp:
            return known[1]
        config = self._load(part, path)
        self._read[part] = (stamp, config)
        return config

    def restart_wanted(self, part):
        """Returns whether somebody has asked for a restart since the part logged in."""
        return wish(self._folder.parent, part).exists()

    def logged_in(self, part):
        """A part that starts logs in: it has restarted."""
        wish(self._folder.parent, part).unlink(missing_ok=True)

    def _load(self, part, path):
        good = self._good / path.name
        try:
            text = _read_text(path)
            machine = parse(text, f"{FOLDER}/{path.name}")
        except BrokenMachineError as e:
            if not good.exists():
                raise
            log.warning("%s; part %s gets the last good configuration", e, part)
            return robot_config(part, parse(_read_text(good), str(good)))[0]
        config, left_out = robot_config(part, machine)
        for problem in left_out:
            log.warning("%s/%s: %s", FOLDER, path.name, problem)
        try:
            _write(good, text)
        except OSError as e:
            log.warning("%s: the last good configuration cannot be kept: %s", good, e.strerror)
        log.info("part %s: configuration %s", part, config.revision[:12])
        return config


def wish(data_dir, part):
    """Returns the file that is there while a part is to restart: `cistern part restart`."""
    return Path(data_dir) / FOLDER / f"{part}.restart"


def parse(text, name):
    """Returns the JSON object in `text`; raises BrokenMachineError with line and column."""
    try:
        machine = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as e:
        raise BrokenMachineError(f"{name}:{e.lineno}:{e.colno}: {e.msg}") from e
    except (RecursionError, ValueError) as e:
        raise BrokenMachineError(f"{name}:1:1: {e}") from e
    if not isinstance(machine, dict):
        raise BrokenMachineError(f"{name}:1:1: a machine configuration is a JSON object")
    return machine


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def _read_text(path):
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise BrokenMachineError(f"{FOLDER}/{path.name}:1:1: {e.strerror}") from e
    if len(raw) > MAX_BYTES:
        raise BrokenMachineError(f"{FOLDER}/{path.name}:1:1: larger than {MAX_BYTES} bytes")
    try:
        return texts.decode(raw, f"{FOLDER}/{path.name}")
    except texts.TextError as e:
        raise BrokenMachineError(str(e)) from e


def _write(path, text):
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def robot_config(part, machine):
    """Returns (RobotConfig, [what was left out and why]) for a machine's JSON object.

    Short names become the full ones Viam's cloud sends: type `sensor` -> api
    `rdk:component:sensor`, model `fake` -> `rdk:builtin:fake`, service config type `data_manager`
    -> `rdk:service:data_manager`. The revision is a hash of the content, so a change of white
    space is none.
    """
    left_out = [
        f"$.{key}: not sent to the device"
        for key in machine
        if key not in (*_SECTIONS, *_FLAGS, "cloud")
    ]
    config = RobotConfig(
        cloud=CloudConfig(
            id=part, fqdn=f"{part}.cistern.local", local_fqdn=f"{part}.cistern.local"
        ),
        components=_entries(machine, "components", _component, left_out),
        services=_entries(machine, "services", _service, left_out),
        remotes=_entries(machine, "remotes", _remote, left_out),
    )
    for flag in _FLAGS:
        if isinstance(machine.get(flag), bool):
            setattr(config, flag, machine[flag])
        elif flag in machine:
            left_out.append(f"$.{flag}: must be true or false")
    config.revision = hashlib.sha256(config.SerializeToString(deterministic=True)).hexdigest()
    return config, left_out


def _entries(machine, section, convert, left_out):
    """Returns what `convert` makes of a section's entries, naming those that it cannot take."""
    listed = machine.get(section)
    if listed is None:
        return []
    if not isinstance(listed, list):
        left_out.append(f"$.{section}: must be a list; left out")
        return []
    converted = []
    for i, entry in enumerate(listed):
        try:
            if not isinstance(entry, dict):
                raise TypeError("must be an object")
            converted.append(convert(entry))
        except (TypeError, ValueError, OverflowError) as e:
            left_out.append(f"$.{section}[{i}]: {e}; left out")
    return converted


def _component(entry):
    api, short = _api(entry, "component")
    return ComponentConfig(
        name=_text(entry, "name"),
        namespace=_text(entry, "namespace", "rdk"),
        type=short,
        api=api,
        model=_model(entry, ""),
        attributes=_struct(entry, "attributes"),
        depends_on=_texts(entry, "depends_on"),
        service_configs=_service_configs(entry),
    )


def _service(entry):
    api, short = _api(entry, "service")
    return ServiceConfig(
        name=_text(entry, "name"),
        namespace=_text(entry, "namespace", "rdk"),
        type=short,
        api=api,
        model=_model(entry, "builtin"),
        attributes=_struct(entry, "attributes"),
        depends_on=_texts(entry, "depends_on"),
        service_configs=_service_configs(entry),
    )


def _remote(entry):
    return RemoteConfig(
        name=_text(entry, "name"),
        address=_text(entry, "address"),
        prefix=_text(entry, "prefix", ""),
        secret=_text(entry, "secret", ""),
        service_configs=_service_configs(entry),
    )


def _service_configs(entry):
    listed = entry.get("service_configs") or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise TypeError("service_configs must be a list of objects")
    return [
        ResourceLevelServiceConfig(
            type=_full(_text(item, "type"), "service"), attributes=_struct(item, "attributes")
        )
        for item in listed
    ]


def _api(entry, kind):
    """Returns (api, type): newer machine JSON has `api`, older has `namespace` and `type`."""
    if "api" in entry:
        api = _text(entry, "api")
        return api, api.rpartition(":")[2]
    named = _text(entry, "type")
    if ":" in named:
        return named, named.rpartition(":")[2]
    return f"{_text(entry, 'namespace', 'rdk')}:{kind}:{named}", named


def _model(entry, default):
    model = _text(entry, "model", default)
    return model if ":" in model or not model else f"rdk:builtin:{model}"


def _full(named, kind):
    return named if ":" in named else f"rdk:{kind}:{named}"


def _text(entry, key, default=None):
    value = entry.get(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a string, not {json.dumps(value)[:40]}")
    return value


def _texts(entry, key):
    values = entry.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{key} must be a list of strings")
    return values


def _struct(entry, key):
    value = entry.get(key)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise TypeError(f"{key} must be an object, not {json.dumps(value)[:40]}")
    struct = Struct()
    struct.update(value)
    return struct

"""What is wrong, in words: the planner's problem codes → Problem(path, message, level).

A message says what the value is and what would be right; docs/CONFIG.md lists them all. What an
unknown key, an object or a list holds is never shown: it may be secret.
"""

import json
from collections import namedtuple

from cistern.borrow import borrow

Problem = namedtuple("Problem", ("path", "message", "level"))

LATER = "known, not yet supported"
CLOUD = "known, done by the cloud; nothing to do on the board"

# Longest value shown, in characters.
_SHOWN = 40
# Keys that hold more than a value: misspelt, all of that is lost.
_HOLDERS = ("components", "services", "attributes", "service_configs", "capture_methods")
# First and last of characters that do not show, or are taken for a space: controls, spaces of
# other widths, marks of direction, joiners, fillers, tags.
_HIDDEN = (
    0x0000, 0x001F, 0x007F, 0x00A0, 0x00AD, 0x00AD, 0x034F, 0x034F, 0x061C, 0x061C,
    0x115F, 0x1160, 0x1680, 0x1680, 0x17B4, 0x17B5, 0x180B, 0x180F, 0x2000, 0x200F,
    0x2028, 0x202F, 0x205F, 0x206F, 0x2800, 0x2800, 0x3000, 0x3000, 0x3164, 0x3164,
    0xD800, 0xDFFF, 0xFE00, 0xFE0F, 0xFEFF, 0xFEFF, 0xFFA0, 0xFFA0, 0xFFF0, 0xFFFB,
    0xE0000, 0xE0FFF,
)  # fmt: skip

_KINDS = {
    bool: "true or false",
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    tuple: "a list",
}
# Keys of Viam's machine JSON that Cistern knows beside those that it takes, by a key of the object
# in which they stand. A value that asks for nothing (empty, 0, false) is not reported.
_KNOWN = (
    (
        "components",
        "remotes processes modules network auth fragments fragment_mods packages jobs tracing log "
        "debug overwrite_fragment_status disable_partial_start enable_web_profile maintenance "
        "disable_log_deduplication agent triggers cloud revision",
    ),
    (
        "capture_frequency_hz",
        "capture_queue_size capture_buffer_size capture_directory name retention_policy",
    ),
    (
        "capture_disabled",
        "disk_usage_deletion_threshold capture_dir_deletion_threshold capture_control_sensor "
        "maximum_capture_file_size_bytes file_last_modified_millis",
    ),
    ("capture_methods", "retention_policy"),
    ("model", "frame log_configuration notes ui_folder"),
)
_BY_CLOUD = ("retention_policy", "delete_data_on_part_deletion", "triggers", "notes", "ui_folder")
# What Viam has and Cistern does not (yet), by the middle of the triplet.
_TYPES = {
    "component": "arm audio_in audio_input audio_out base board button camera encoder gantry "
    "generic gripper input_controller motor movement_sensor pose_tracker power_sensor sensor "
    "servo switch",
    "service": "base_remote_control data_manager discovery generic mlmodel motion navigation "
    "sensors shell slam video vision world_state_store",
}
# Methods of components that Viam captures and Cistern does not (yet).
_METHODS = (
    "DoCommand",
    "EndPosition",
    "JointPositions",
    "Images",
    "ReadImage",
    "NextPointCloud",
    "Lengths",
    "Audio",
    "CaptureAllFromCamera",
    "PointCloudMap",
)
_MISSING = {
    "capture_frequency_hz": "readings a second, such as 0.5 for one every 2 s",
    "method": "what to capture, such as Readings",
    "name": "a name that no other component has",
    "model": "such as fake",
}
_RANGE = {
    "capture_frequency_hz": "above 0 and at most 2000 Hz (at least 0.00001, about one a day)",
    "cache_size_kb": "1 to 4000 (KB of 1000 bytes)",
    "sync_interval_mins": "0 to 525600 minutes",
}


def problems(found):
    """[Problem] of the planner's [(code, path, details)]."""
    made = []
    wrong = set()
    for code, path, details in found:
        if code == "type":
            wrong.add(path)
        elif path in wrong or path.rsplit(".", 1)[0] in wrong:
            continue  # what is missing in a value of the wrong kind is no news
        problem = _SAY[code](path.lstrip("."), *details)
        if problem:
            made.append(Problem(*problem))
    return made


def _show(value):
    if isinstance(value, str):
        return '"%s"' % shown(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    if isinstance(value, (dict, list)):
        return _KINDS[type(value)]
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int) and not -1e18 < value < 1e18:
        return "a whole number of very many digits"  # str() of it may take minutes, or refuse
    return str(value)


def hidden(char):
    """Whether a character does not show, or is taken for another one."""
    code = ord(char)
    return any(_HIDDEN[i] <= code <= _HIDDEN[i + 1] for i in range(0, len(_HIDDEN), 2))


def shown(text):
    """A text as it is, but for what does not show: that by its code point, such as <U+200B>."""
    made = ""
    for char in text:
        if hidden(char):
            char = "<U+%04X>" % ord(char)
        elif char in '"\\':
            char = "\\" + char
        made += char
    return made


def _at(path, name):
    """The path of a key, which may be any text."""
    return path + "." + name if _plain(name) else '%s["%s"]' % (path, shown(name))


def _last(path):
    return path.rsplit(".", 1)[-1]


def _default(path, default):
    """What a data manager runs with instead; other entries are refused."""
    if not path.startswith("services"):
        return ""
    if default in ("", (), {}):
        return "; it is left out"
    return "; %s is used" % _show(default)


def _type(path, value, kind, default):
    text = "%s is not %s" % (_show(value), _KINDS[kind])
    if kind in (int, float, bool) and isinstance(value, str):
        text += ", which is written without quotes"
    return path, text + _default(path, default), "error"


def _missing(path, kind):
    return path, "missing: give %s" % (_MISSING.get(_last(path)) or _KINDS[kind]), "error"


def _range(path, value, bounds, default):
    right = _RANGE.get(_last(path)) or "%s to %s" % bounds
    text = "%s is out of range: %s" % (_show(value), right)
    return path, text + _default(path, default), "error"


def _key(path, name, value, table):
    known = ""
    for mark, names in _KNOWN:
        if mark in table:
            known = names
            break
    known = known.split()
    at = _at(path, name).lstrip(".")
    if name in known:
        if not value:
            return None
        if name == "remotes":
            return _remotes(value)
        return (at, CLOUD, "info") if name in _BY_CLOUD else (at, LATER, "warning")
    meant = _near(name, list(table) + known)
    if meant in _HOLDERS and value and isinstance(value, (dict, list)):
        return at, 'unknown; did you mean "%s"? What it holds is ignored' % meant, "error"
    return at, "unknown" + _meant(name, list(table) + known), "warning"


def _remotes(value):
    """Remotes, which are known, not yet supported: an error where they would capture."""
    names = []
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict) and entry.get("service_configs"):
            names.append(_show(entry.get("name")))
    if not names:
        return "remotes", LATER, "warning"
    return "remotes", "%s; the collectors of %s do not run" % (LATER, ", ".join(names)), "error"


def _later(path, name):
    return (path, CLOUD, "info") if name in _BY_CLOUD else (path, LATER, "warning")


def _kind(path, kind, what, written):
    """A type of component or service that there is none of; kind: its triplet."""
    if not kind:
        return path, "missing: give the type of the %s" % what, "error"
    parts = kind.split(":")
    names = _TYPES[what].split()
    if parts[:2] == ["rdk", what] and parts[-1] in names:
        text = "%s %s: %s" % (what, parts[-1], LATER)
        if what == "component":
            return path, text + "; it is left out, and its collectors do not run", "error"
        return path, text, "warning"
    return path, "unknown %s type %s%s" % (what, _show(written), _meant(parts[-1], names)), "error"


def _choice(what):
    def say(path, value, known):
        if what == "method" and value in _METHODS:
            return path, "method %s: %s" % (value, LATER), "error"
        return path, "unknown %s %s%s" % (what, _show(value), _meant(value, known)), "error"

    return say


def _own(path, sub, message):
    """A model's own word on its attributes, which may be missing as a whole."""
    return (path + ("" if sub[:1] == "[" else ".") + sub) if sub else path, message, "error"


_SAY = {
    "type": _type,
    "missing": _missing,
    "range": _range,
    "key": _key,
    "later": _later,
    "kind": _kind,
    "model": _choice("model"),
    "method": _choice("method"),
    "own": _own,
    "name": lambda path, value: (
        path,
        "%s is no name: letters, digits, - and _, 60 at most, not - or _ first" % _show(value),
        "error",
    ),
    "tag": lambda path, value, *_: (
        path,
        "%s is no tag: letters, digits, - and _, 60 at most; it is left out" % _show(value),
        "error",
    ),
    "twice": lambda path, value, first: (
        path,
        "%s is the name of %s too" % (_show(value), first),
        "error",
    ),
    "same": lambda path, first: (
        path,
        "captures the same component, method and additional_params as %s, which runs" % first,
        "error",
    ),
    "long": lambda path, size, most: (
        path,
        "tags and additional_params have %d bytes together; %d fit" % (size, most),
        "error",
    ),
    "second": lambda path, first: (
        path,
        "a machine has one data manager; %s is used" % first,
        "error",
    ),
    "param": lambda path, method: (
        path,
        "missing: %s needs it in additional_params, as a string" % method,
        "error",
    ),
    "nested": lambda path, name, value: (
        _at(path, name),
        "%s is not a string, number, true or false" % _show(value),
        "error",
    ),
    "depends": lambda path, name, names: (
        path,
        "no component is named %s%s" % (_show(name), _meant(name, names)),
        "warning",
    ),
    "manager": lambda path: (
        path,
        "nothing will be captured: there are collectors, but no service of type data_manager",
        "error",
    ),
    "syncer": lambda path, name, names: (
        path,
        "nothing is sent but what is asked for: no component is named %s%s"
        % (_show(name), _meant(name, names)),
        "error",
    ),
}


def _plain(name):
    """Whether a key can stand in a path without quotes."""
    for c in name:
        if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_"):
            return False
    return bool(name)


def _meant(name, known):
    """The nearest known name as a question, or all of them."""
    best = _near(name, known)
    if best:
        return '; did you mean "%s"?' % best
    return "; known: %s" % ", ".join(sorted(known)) if known else ""


def _near(name, known):
    return borrow("cistern.config.spelling").near(name, list(known))

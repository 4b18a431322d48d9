"""The configuration of a board that runs: pushed to it and pulled from it over its REPL."""

from cistern_tools.board import BoardError
from cistern_tools.image.contents import MASK
from cistern_tools.image.nvs import NAMESPACE, SECRETS

MACHINE = "/machine.json"
CA_PATHS = ("/ca.der", "/ca.pem")
KEYS = ("ssid", "psk", "cloud_url", "part_id", "secret", "server_name", "ifconfig", "ntp")
_MAX_VALUE = 512

_SET = """
import esp32
nvs = esp32.NVS({namespace!r})
for key, value in {values!r}:
    if value is None:
        try:
            nvs.erase_key(key)
        except OSError:
            pass
    else:
        nvs.set_blob(key, value)
nvs.commit()
"""
# Secrets stay on the board: only whether they are there is told.
_GET = """
import esp32, json
nvs = esp32.NVS({namespace!r})
buf = bytearray({size})
found = {{}}
for key in {keys!r}:
    try:
        n = nvs.get_blob(key, buf)
        found[key] = {mask!r} if key in {secrets!r} else str(buf[:n], 'utf-8')
    except OSError:
        pass
print(json.dumps(found))
"""
# Such as "Generic ESP32 module with ESP32", or "… with SPIRAM with ESP32".
_NAME = """
import json, sys
print(json.dumps(getattr(sys.implementation, '_machine', '')))
"""
_REMOVE = """
import os
try:
    os.remove({path!r})
except OSError:
    pass
"""


def push(board, machine=None, values=None, ca=None):
    """Write machine.json (bytes), values of the NVS ({key: text, None to remove}) and CA files.

    board: a Link that is stopped. Raises BoardError.
    """
    if values:
        blobs = [(k, None if v is None else v.encode()) for k, v in values.items()]
        board.run(_SET.format(namespace=NAMESPACE, values=blobs))
    for path, data in (ca or {}).items():
        board.replace(path, data)
    for path in CA_PATHS:
        if ca and path not in ca:
            board.run(_REMOVE.format(path=path))
    if machine is not None:
        board.replace(MACHINE, machine)
        if board.read(MACHINE) != machine:
            raise BoardError(f"the board's {MACHINE} is not what was written: try again")


def settings(board):
    """{key: text} of the board's NVS, the secrets masked. Raises BoardError."""
    program = _GET.format(
        namespace=NAMESPACE, size=_MAX_VALUE, keys=KEYS, mask=MASK, secrets=SECRETS
    )
    return board.ask(program)


def is_plain(name):
    """Whether a board with this name, which its MicroPython says, is a plain ESP32 that has little
    room beside TLS: one without PSRAM, and without the firmware of boards/CISTERN_ESP32.
    """
    own = name.startswith("Cistern for ")
    return name.endswith(" with ESP32") and "SPIRAM" not in name and not own


def has_little_room(board, values):
    """Whether a board is a plain ESP32 whose cloud, after values are pushed, is at https."""
    cloud = values.get("cloud_url") or settings(board).get("cloud_url", "")
    return cloud.startswith("https:") and is_plain(board.ask(_NAME))


def pull(board):
    """The bytes of the board's machine.json. Raises BoardError."""
    found = board.read(MACHINE)
    if found is None:
        raise BoardError(f"the board has no {MACHINE}: cistern config push writes one")
    return found

"""A chip: starts as MicroPython does on one, from the image in a file.

    micropython [-i] board.py SETTINGS     a JSON file, which chip.py writes

The vfs of the image is mounted by MicroPython's own LittleFS, boot.py and main.py run from there,
and nothing of the PC's filesystem is left to see.
"""
# ruff: noqa: SIM115 - the chip's names, and
# MicroPython's ways

import json
import os
import sys
import time

HERE = __file__.rsplit("/", 1)[0]
sys.path.insert(0, HERE)

import clock_behaviour  # noqa: E402
import console_behaviour  # noqa: E402
import esp32_behaviour  # noqa: E402
import guard  # noqa: E402
import machine_behaviour  # noqa: E402
import memory_behaviour  # noqa: E402
import network_behaviour  # noqa: E402
import outside_behaviour  # noqa: E402
import vfs  # noqa: E402

_INTERNAL_FLASH = 4 * 1024 * 1024


class EspBehaviour:
    """esp: the few functions that are asked for."""

    @staticmethod
    def flash_size():
        """Bytes."""
        return _INTERNAL_FLASH


def begin(settings):
    """Put the chip's modules in place of the PC's, and its filesystem."""
    table = settings["table"]
    image = open(settings["image"], "r+b")
    esp32_behaviour._begin(image, open(settings["nvs"], "r+"))
    machine_behaviour._time = time
    machine_behaviour._begin(clock_behaviour, open(settings["rtc"], "r+b"))
    network_behaviour._begin(settings["ssid"], settings["psk"])
    chip = guard.install("esp32", table["esp32"], esp32_behaviour)
    guard.install("machine", table["machine"], machine_behaviour)
    guard.install("network", table["network"], network_behaviour)
    guard.install("esp", table["esp"], EspBehaviour)
    instead = dict(clock_behaviour.INSTEAD)
    instead.update(console_behaviour.INSTEAD)
    guard.narrow("time", table["time"], instead)
    instead = {"select": outside_behaviour.SELECT_INSTEAD}
    if settings["jumps"]:
        clock_behaviour.begin_jumping()
        outside_behaviour._begin(settings["jumps"]["outside"])
        console_behaviour.interrupt_at(settings["jumps"]["until_s"] * 1000000)
        instead["socket"] = outside_behaviour.SOCKET_INSTEAD
        instead["tls"] = outside_behaviour.TLS_INSTEAD
    for name in ("os", "socket", "select", "sys", "tls"):
        guard.narrow(name, table[name], instead.get(name))
    guard.narrow("gc", table["gc"], memory_behaviour.GC_INSTEAD)
    real_modules["_thread"] = memory_behaviour.Threads
    guard.narrow("ssl", table["tls"], instead.get("tls"))
    for name in list(real_modules):
        if name.endswith("_behaviour") or name == "guard":
            del real_modules[name]
    path[:] = ["", ".frozen", "/lib"]
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(chip.Partition("vfs")), "/")


def run(name):
    """As the firmware runs boot.py and main.py: it need not be there, an exception is shown."""
    try:
        with open(name) as f:
            program = f.read()
    except OSError:
        return
    try:
        exec(compile(program, name, "exec"), {"__name__": "__main__"})
    except (Exception, KeyboardInterrupt) as e:
        print_exception(e)


real_modules, path, print_exception = sys.modules, sys.path, sys.print_exception
with open(sys.argv[1]) as f:
    begin(json.load(f))
os.chdir("/")
memory_behaviour.begin()
console_behaviour.listen(True)
for program in ("boot.py", "main.py"):
    run(program)
console_behaviour.listen(False)
print("stand-in: main.py is over")

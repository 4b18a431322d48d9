# Freezes Cistern into a MicroPython firmware: make firmware, or FROZEN_MANIFEST=<this file>
# ruff: noqa: F821 - the names are MicroPython's manifest language
import os

include("$(PORT_DIR)/boards/manifest.py")

TOP = "../lib/cistern"  # MicroPython runs a manifest in the manifest's own folder
# Runtimes of a PC, and the hardware that they simulate.
NOT_ON_A_CHIP = (
    "port/host.py",
    "port/nor.py",
    "port/pc.py",
    "port/simulated/",
    "port/stream_host.py",
    "port/unix.py",
)
paths = [os.path.relpath(os.path.join(d, f), TOP) for d, _, names in os.walk(TOP) for f in names]
package(
    "cistern",
    files=sorted(p for p in paths if p.endswith(".py") and not p.startswith(NOT_ON_A_CHIP)),
    base_path="../lib",
    opt=3,
)

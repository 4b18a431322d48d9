# Freezes Cistern into a MicroPython firmware: make BOARD=… FROZEN_MANIFEST=…/firmware/manifest.py
# ruff: noqa: F821 - the names are MicroPython's manifest language
include("$(PORT_DIR)/boards/manifest.py")
package("cistern", base_path="../lib", opt=3)
# The ports of PCs and their simulated hardware come along; nothing on a chip imports them, and
# frozen code takes no heap.

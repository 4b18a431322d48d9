"""Flash images: stock MicroPython with Cistern, its configuration and its secrets in it.

firmware = Firmware.read(Path("ESP32_GENERIC-20250415-v1.25.0.bin").read_bytes())
image = build(Order(...))              # bytes of the whole flash chip, from address 0
report = inspect(image)                # what is in them
"""


class ImageError(ValueError):
    """An image cannot be made or read; the message says why and what to do."""

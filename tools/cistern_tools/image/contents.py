"""What an image holds, without a board: `cistern image inspect`."""

from dataclasses import dataclass, field

from cistern_tools import flashlog
from cistern_tools.image import ImageError, firmware, nvs, partitions, vfs

MASK = "********"


@dataclass
class Contents:
    """files: {path: bytes}; configuration: NVS values as text, secrets masked; log: a FlashLog, or
    None with the reason in `log_state`. missing: what keeps the board from working.
    """

    firmware: firmware.Firmware
    table: partitions.Table
    size: int
    files: dict = field(default_factory=dict)
    configuration: dict = field(default_factory=dict)
    log: flashlog.FlashLog | None = None
    log_state: str = ""
    missing: list = field(default_factory=list)


def inspect(image):
    """The Contents of an image of a whole flash. Raises ImageError if it is none."""
    found = firmware.find(image)
    contents = Contents(found, found.table, len(image))
    if found.table.end > len(image):
        contents.missing.append(
            f"the partitions end at {found.table.end} bytes, the image at {len(image)}"
        )
    try:
        contents.files = vfs.read(part(image, found.table, "vfs"))
    except ImageError as e:
        contents.missing.append(str(e))
    for path in ("/boot.py", "/main.py", "/machine.json"):
        if contents.files and path not in contents.files:
            contents.missing.append(f"no {path} on the vfs")
    contents.configuration = masked(part(image, found.table, "nvs"))
    _read_log(contents, image)
    return contents


def part(image, table, label):
    """The bytes of a partition. Raises ImageError."""
    found = table.find(label)
    return image[found.offset : found.end]


def masked(raw):
    """{key: text} of Cistern's values in an NVS partition, the secrets not readable."""
    values = nvs.read(raw).get(nvs.NAMESPACE, {})
    return {
        key: MASK if key in nvs.SECRETS else _text(value) for key, value in sorted(values.items())
    }


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _read_log(contents, image):
    try:
        raw = part(image, contents.table, "capture")
        if not raw.strip(b"\xff"):
            contents.log_state = "empty"
            return
        contents.log = flashlog.read_image(raw)
    except (ImageError, flashlog.NotALogError) as e:
        contents.log_state = str(e)


def readings(log):
    """{state: readings} of a log, in words of `cistern log dump`."""
    counts = {}
    for parcel in log.parcels:
        counts[parcel.state] = counts.get(parcel.state, 0) + parcel.readings
    return counts

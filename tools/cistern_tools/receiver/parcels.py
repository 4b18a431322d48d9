"""Names of parcels, as an upload lists them in `UploadMetadata.file_name`.

    cistern1:<log id, 16 hex digits>:<sector>.<index>*<readings>[,<sector>.<index>*<readings>...]

The log id is that of one flash log; sector and index say where in the log the parcel is, and are
never reused; `readings` says how many of the upload's `sensor_contents` belong to it, in order.
"""

import re
from typing import NamedTuple

MAX_SECTOR = 2**32 - 1  # the sector sequence number is a u32 on flash
MAX_INDEX = 65535  # a u16; a sector of 4096 bytes has far fewer records
MAX_READINGS = 2**20  # of one parcel: 4096 bytes at less than a bit each do not occur
MAX_PARCELS = 2**16  # of one upload: 32 MiB of readings in parcels of 512 bytes

_VERSION = re.compile(r"cistern([0-9]+):")
_NAMES = re.compile(r"cistern1:([0-9a-fA-F]{16}):(.+)", re.ASCII)
_PARCEL = re.compile(r"(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,4})\*([1-9][0-9]{0,6})", re.ASCII)


class Parcel(NamedTuple):
    """One parcel of an upload: its place in the flash log and how many readings it has."""

    sector: int
    index: int
    readings: int


class Parcels(NamedTuple):
    """All parcels of an upload, in the order of their readings; `log_id` has 8 bytes."""

    log_id: bytes
    parcels: list[Parcel]


class ParcelNameError(ValueError):
    """The name starts like a list of parcels and is none; str() says what is wrong with it."""


class NewerNameError(ValueError):
    """The name is of a later version of the format than this receiver knows."""


def parse(file_name):
    """Returns the Parcels that `file_name` lists, or None if it is somebody else's file name.

    Raises ParcelNameError or NewerNameError. A name that starts with `cistern` is never taken for
    somebody else's: readings stored without their parcel's name could be stored twice.
    """
    version = _VERSION.match(file_name)
    if version is None:
        return None
    if version[1] != "1":
        raise NewerNameError(
            f"file_name starts with cistern{version[1][:9]}:, this receiver knows cistern1: only"
        )
    found = _NAMES.fullmatch(file_name)
    if found is None:
        raise ParcelNameError(
            "file_name must be cistern1:<16 hex digits>:<sector>.<index>*<readings>[,...], "
            f"not {file_name[:80]!r}"
        )
    if found[2].count(",") >= MAX_PARCELS:
        raise ParcelNameError(f"file_name lists more than {MAX_PARCELS} parcels")
    parcels = [_parcel(text) for text in found[2].split(",")]
    if len({parcel[:2] for parcel in parcels}) < len(parcels):
        raise ParcelNameError("file_name lists a parcel twice")
    return Parcels(bytes.fromhex(found[1]), parcels)


def _parcel(text):
    found = _PARCEL.fullmatch(text)
    if found is None:
        raise ParcelNameError(f"file_name: {text[:40]!r} is not <sector>.<index>*<readings>")
    parcel = Parcel(*map(int, found.groups()))
    for value, limit, what in zip(
        parcel, (MAX_SECTOR, MAX_INDEX, MAX_READINGS), Parcel._fields, strict=True
    ):
        if value > limit:
            raise ParcelNameError(f"file_name: {what} {value} of {text!r} is above {limit}")
    return parcel


def format_name(parcels):
    """Returns the file_name that lists these Parcels; the inverse of parse()."""
    listed = ",".join(f"{p.sector}.{p.index}*{p.readings}" for p in parcels.parcels)
    return f"cistern1:{parcels.log_id.hex()}:{listed}"

"""The sectors of a log and their records."""

import re
import struct
from binascii import crc32

from cistern_tools.flashlog.log import FlashLog, Parcel
from cistern_tools.flashlog.readings import read_definition

MAGIC, VERSION = b"CSt", 1
SECTOR_HEAD, RECORD_HEAD, PAGE = 32, 8, 256
DEFINITION, BOOT, ANCHOR, DROP, STATE, REFUSED = 0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5
REASONS = (
    "other",
    "log_full",
    "thinned",
    "ring_full",
    "source_error",
    "late",
    "source_slow",
    "stalled",
    "flash_full",
    "refused",
)
LOG_FULL, THINNED = 1, 2
GIVEN_UP = {LOG_FULL: "given up", THINNED: "thinned"}
# A sector of a log in a folder (lib/cistern/store/files.py).
SECTOR_FILE = re.compile(r"\d{4}\.log", re.IGNORECASE | re.ASCII)


class NotALogError(ValueError):
    """The image holds no Cistern log, or one of a version that this program does not know."""


def read_folder(folder, sector_size=4096):
    """The bytes of a log in a folder, a file a sector: what is not there is erased flash.

    Raises NotALogError where no file of a log is in it, and OSError.
    """
    found = {}
    for path in folder.iterdir():
        if SECTOR_FILE.fullmatch(path.name):
            raw = path.read_bytes()[:sector_size]
            found[int(path.name[:4])] = raw.ljust(sector_size, b"\xff")
    if not found:
        raise NotALogError("no log is in this folder: no file there is named like 0000.log")
    blank = b"\xff" * sector_size
    return b"".join(found.get(n, blank) for n in range(max(found) + 1))


def read_image(image, sector_size=4096):
    """The FlashLog in the bytes of a partition. Raises NotALogError."""
    blocks = len(image) // sector_size
    sectors, ids, odd = [], set(), []
    for block in range(blocks):
        data = image[block * sector_size : (block + 1) * sector_size]
        head = data[:SECTOR_HEAD]
        magic, version, log_id, sequence, boot, crc = struct.unpack_from("<3sB8sIII", head)
        if magic == MAGIC and version == VERSION and crc == crc32(head[:20]):
            sectors.append((sequence, block, boot, crc, data))
            ids.add(log_id.hex())
        elif magic == MAGIC and version not in (VERSION, 0xFF) and crc == crc32(head[:20]):
            raise NotALogError(
                f"sector {block} has format {version}; this program reads {VERSION}"
            )
        elif data.strip(b"\xff") and data.rstrip(b"\xff") != MAGIC + bytes((VERSION,)):
            odd.append(block)
    if not sectors:
        raise NotALogError(
            "no sector of a Cistern log in it: give the image of the log's partition, "
            f"from its first byte, in sectors of {sector_size} bytes"
            if image.strip(b"\xff")
            else "it is empty: erased, and no board has begun a log in it"
        )
    log = FlashLog(sorted(ids)[0], blocks)
    if len(ids) > 1:
        log.damage.append(
            {"block": None, "offset": None, "what": f"sectors of {len(ids)} logs: {ids}"}
        )
    for block in odd:
        what = "no valid header: an erase or a header was cut short, or the sector is broken"
        log.damage.append({"block": block, "offset": 0, "what": what})
    definitions, losses, named = {}, {}, {}
    for sequence, block, boot, seed, data in sorted(sectors):
        _read_sector(log, definitions, losses, named, sequence, block, boot, seed, data)
    for parcel in log.parcels:
        sector = parcel.name.partition(".")[0]
        if parcel.state == "unsent":
            parcel.state = named.get(parcel.name) or named.get(sector) or "unsent"
    names = {crc32(d): read_definition(d) for d in definitions.values()}
    for (key, reason), count in losses.items():
        stream = names.get(key)
        name = "/".join((stream["component_name"], stream["method"])) if stream else f"#{key:08x}"
        known = REASONS[reason] if reason < len(REASONS) else f"reason {reason}"
        log.losses.append({"stream": name, "reason": known, "readings": count})
    return log


def _read_sector(log, definitions, losses, named, sequence, block, boot, seed, data):
    """named: {sequence or name: state} of what records and headers say of others' parcels."""
    numbers = {}
    if data[24] == 0:
        # Nothing in it is needed: what was not sent was given up, by a count that may be gone.
        named.setdefault(str(sequence), GIVEN_UP[LOG_FULL])
    for at, state, kind, body, now in _records(log, block, seed, data, boot):
        boot = now
        if kind == DEFINITION:
            numbers[body[0]] = definitions[body[1:]] = body[1:]
        elif kind == ANCHOR:
            b, *anchor = struct.unpack("<IQQI", body)
            _anchor(log, b, anchor)
        elif kind == DROP:
            key, reason, count = struct.unpack_from("<IBI", body)
            losses[key, reason] = losses.get((key, reason), 0) + count
        elif kind == REFUSED:
            of, index, key, reason, count = struct.unpack_from("<IHIBI", body)
            losses[key, reason] = losses.get((key, reason), 0) + count
            named[f"{of}.{index}"] = "set aside"
        elif kind == STATE:
            before = dict(losses)
            victim = _read_state(log, losses, body)
            grew = {r for (key, r), n in losses.items() if n > before.get((key, r), 0)}
            if victim:
                named[str(victim)] = GIVEN_UP[THINNED if THINNED in grew else LOG_FULL]
        elif kind < DEFINITION:
            if kind not in numbers:
                what = f"parcel {sequence}.{at} needs definition {kind}, which is damaged"
                log.damage.append({"block": block, "offset": at, "what": what})
                continue
            name = "sent" if not state & 15 else "unsent" if state >> 4 else "set aside"
            readings = struct.unpack_from("<H", body)[0]
            log.parcels.append(
                Parcel(f"{sequence}.{at}", block, boot, name, readings, numbers[kind], body[2:])
            )


def _anchor(log, boot, anchor):
    if boot not in log.anchors or anchor[2] <= log.anchors[boot][2]:
        log.anchors[boot] = tuple(anchor)


def _read_state(log, losses, body):
    victim, n = struct.unpack_from("<IB", body)
    for i in range(n):
        boot, *anchor = struct.unpack_from("<IQQI", body, 5 + 24 * i)
        _anchor(log, boot, anchor)
    losses.clear()
    for at in range(5 + 24 * n, len(body), 9):
        key, reason, count = struct.unpack_from("<IBI", body, at)
        losses[key, reason] = count
    return victim


def _records(log, block, seed, data, boot):
    """(offset, state, kind, body, boot) of the intact records of a sector."""
    at = SECTOR_HEAD
    while at + RECORD_HEAD + 2 <= len(data):
        record = _record(data, at, seed)
        if record and record[3]:
            state, kind, size, _ = record
            body = data[at + RECORD_HEAD : at + RECORD_HEAD + size]
            if kind == BOOT:
                boot = struct.unpack("<I", body)[0]
            yield at, state, kind, body, boot
            at += RECORD_HEAD + size
            continue
        # Torn or rotten, or the end of what one boot wrote: the next boot begins at a later page.
        end = at + RECORD_HEAD + record[2] if record else len(data)
        if data[at : at + RECORD_HEAD] != b"\xff" * RECORD_HEAD:
            what = (
                "a record was cut short or is damaged"
                if record
                else "a record's header is damaged"
            )
            log.damage.append({"block": block, "offset": at, "what": what})
        pages = range((at // PAGE + 1) * PAGE, end, PAGE)
        at = next((p for p in pages if _is_boot(data, p, seed)), end if record else len(data))


def _record(data, at, seed):
    """(state, kind, size, whether the CRC fits), or None where there is no valid header."""
    state, kind, size_and_check, crc = struct.unpack_from("<BBHI", data, at)
    size = size_and_check & 0xFFF
    check = (kind ^ kind >> 4 ^ size ^ size >> 4 ^ size >> 8 ^ 5) & 15
    if (
        kind == 0xFF
        or size < 2
        or size_and_check >> 12 != check
        or at + RECORD_HEAD + size > len(data)
    ):
        return None
    body = data[at + RECORD_HEAD : at + RECORD_HEAD + size]
    return state, kind, size, crc == crc32(body, crc32(data[at + 1 : at + 4], seed))


def _is_boot(data, at, seed):
    record = _record(data, at, seed) if at + RECORD_HEAD + 4 <= len(data) else None
    return bool(record) and record[1] == BOOT and record[2] == 4 and record[3]

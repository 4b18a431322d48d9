"""What ails a board, line by line, and what to do about it."""

import datetime
from pathlib import Path
from typing import NamedTuple

from cistern_tools.board import cloudcheck
from cistern_tools.image import firmware, library

OK, WARNING, BAD = "ok", "warning", "bad"
# TLS refuses certificates when the clock is wrong by more than their margins; sync sets it anyway.
CLOCK_S = 60
EXPIRES_DAYS = 30
REMEMBERED_S = 600  # as lib/cistern/port/ntp.py
WEAK_DBM = -80
# Less than this, and Wi-Fi loses packets: what the board says of the cloud means nothing.
LEAST_SYSTEM = 6000
LEAST_FLASH = 4 * 1024 * 1024
_WIFI = {
    200: "no beacon of it any more: move the board closer",
    201: "there is no such network here: check its name; an ESP32 has 2.4 GHz only",
    202: "the password is wrong: cistern config push --wifi-file FILE",
    203: "the access point refused: is it full, or does it filter addresses?",
    204: "the handshake timed out: is the password right?",
    210: "its security does not fit",
    211: "its security is too weak",
    212: "it is too far away",
    1001: "still connecting",
}


class Line(NamedTuple):
    """One finding. do: what to do about it, or ""."""

    state: str
    name: str
    found: str
    do: str = ""


def facts_program():
    """What runs on the board."""
    return (Path(__file__).parent / "facts.py").read_text()


def judge(facts, now, look=cloudcheck.look, ca=None):
    """The Lines for a board's facts. now: aware datetime; ca: the board's CA file, or None."""
    for check in (_chip, _firmware, _alpn, _files, _wifi):
        yield check(facts)
    yield _clock(facts, now)
    yield from _cloud(facts, now, look, ca)


def _chip(facts):
    machine = facts.get("machine") or "an unknown board"
    if "flash" not in facts:
        return Line(
            BAD,
            "chip",
            f"{machine}, {facts.get('chip_failed', 'no answer')}",
            "is this an ESP32? Cistern's images are for no other chip",
        )
    size = facts["flash"]
    found = f"{machine}, {size // 2**20} MB of flash"
    if size < LEAST_FLASH:
        return Line(BAD, "chip", found, "images need 4 MB: take another board")
    return Line(OK, "chip", found)


def _firmware(facts):
    version = ".".join(str(n) for n in facts["version"])
    mpy = f"{facts['mpy']}.{facts['mpy_sub']}"
    found = f"MicroPython {version}, .mpy {mpy}"
    if tuple(facts["version"][:2]) < firmware.OLDEST:
        least = ".".join(str(n) for n in firmware.OLDEST)
        return Line(BAD, "firmware", found, f"take {least} or later: cistern image build")
    if mpy != library.mpy_version():
        return Line(
            BAD,
            "firmware",
            found,
            f"mpy-cross here makes .mpy {library.mpy_version()}, which it cannot load: "
            "build and flash a new image",
        )
    return Line(OK, "firmware", found)


def _alpn(facts):
    if facts.get("alpn"):
        return Line(OK, "ALPN", "in this firmware")
    return Line(
        OK,
        "ALPN",
        "not in this firmware: the cloud must take HTTP/2 without it, as cistern cloud does",
    )


def _files(facts):
    partitions = facts.get("partitions", [])
    files = facts.get("files", {})
    lacking = [f"partition {p}" for p in ("nvs", "capture", "vfs") if p not in partitions]
    lacking += [p for p in ("/boot.py", "/main.py", "/machine.json") if p not in files]
    if lacking:
        do = "flash an image: cistern image build, cistern flash"
        if lacking == ["/machine.json"]:
            do = "cistern config push machine.json"
        return Line(BAD, "image", f"missing: {', '.join(lacking)}", do)
    return Line(OK, "image", "partitions and files are there")


def _wifi(facts):
    values = facts.get("values", {})
    if not values.get("ssid"):
        return Line(
            BAD,
            "Wi-Fi",
            facts.get("configuration_failed", "no network is configured"),
            "cistern config push --wifi-file FILE (two lines: name, password)",
        )
    wifi = facts.get("wifi")
    if wifi is None:
        return Line(
            BAD, "Wi-Fi", facts.get("configuration_failed", "no answer"), "reset the board"
        )
    if not wifi["connected"]:
        why = _WIFI.get(wifi["status"], f"status {wifi['status']}: check name and password")
        return Line(BAD, "Wi-Fi", f"{wifi['ssid']}: not connected", why)
    rssi = wifi.get("rssi")
    found = f"{wifi['ssid']}: {wifi['address']}" + (f", {rssi} dBm" if rssi is not None else "")
    if rssi is not None and rssi < WEAK_DBM:
        return Line(WARNING, "Wi-Fi", found, "weak: move the board or the access point")
    return Line(OK, "Wi-Fi", found)


def _clock(facts, now):
    off = facts["utc"] - now.timestamp()
    ahead = facts.get("remembered", 0) - now.timestamp()
    if ahead > REMEMBERED_S:
        return Line(
            BAD,
            "clock",
            f"the board remembers that it was {ahead / 86400:.0f} days later than this PC says, "
            "and believes no time server before that",
            "is the PC's clock right? Then cistern sync sets the board's",
        )
    if not facts.get("clock_set", True):
        server = facts.get("ntp")
        asked = ""
        if server:
            answers = facts.get("ntp_answers")
            asked = f"; the time server {server} {'answers' if answers else 'does not answer'}"
        return Line(
            WARNING,
            "clock",
            f"no clock: it was not set since power came{asked}",
            "cistern sync sets it from this PC; for good, let the board reach a time server (UDP "
            "port 123; cistern config push --ntp HOST). Without one, a cloud without `date` gets "
            "readings tagged time-bounded",
        )
    if abs(off) <= CLOCK_S:
        return Line(OK, "clock", f"{off:+.0f} s against this PC")
    if facts["utc"] < datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp():
        return Line(
            WARNING,
            "clock",
            "not set yet",
            "it is set over the network; needs UDP port 123 or the cloud",
        )
    return Line(
        WARNING,
        "clock",
        f"{off:+.0f} s against this PC",
        "is the PC's clock right? Let the board reach a time server",
    )


def _cloud(facts, now, look, ca):
    from cistern.cloud.url import parse

    values = facts.get("values", {})
    url = values.get("cloud_url")
    lacking = [k for k in ("cloud_url", "part_id", "secret") if not values.get(k)]
    if lacking:
        yield Line(
            BAD,
            "cloud",
            f"not configured: {', '.join(lacking)}",
            "cistern config push --cloud URL --part-id ID --secret-file FILE",
        )
        return
    try:
        scheme, host, port, _ = parse(url)
    except ValueError as e:
        yield Line(BAD, "cloud", str(e), "cistern config push --cloud URL")
        return
    if "cloud" not in facts:
        yield Line(BAD, "cloud", f"{url}: not tried without Wi-Fi", "mend Wi-Fi first")
    elif facts["cloud"] and facts.get("system", LEAST_SYSTEM) < LEAST_SYSTEM:
        yield Line(
            WARNING,
            "cloud",
            f"{url}: not known: the board has {facts['system']} bytes of memory left for Wi-Fi "
            f"while it is looked at ({facts['cloud']})",
            "cistern status says whether it syncs",
        )
    elif facts["cloud"]:
        yield Line(
            BAD,
            "cloud",
            f"{url}: the board cannot connect: {facts['cloud']}",
            "does it run, and does a firewall let the board's network in?",
        )
    else:
        yield Line(OK, "cloud", f"{url}: the board can connect")
    if scheme == "https" and ca is None:
        yield Line(
            BAD, "certificate", "the board has no CA certificate", "cistern config push --ca FILE"
        )
        return
    seen = look(scheme, host, port, values.get("server_name"), ca)
    yield _certificate(seen, scheme, now)
    if not seen.error and not seen.without_alpn and not facts.get("alpn"):
        yield Line(
            BAD,
            "ALPN",
            "the cloud closes connections without ALPN",
            "flash a firmware that has it, or use cistern cloud",
        )


def _certificate(seen, scheme, now):
    if seen.error:
        do = "give the board the CA that signed it: cistern config push --ca FILE"
        if "certificate" not in seen.error:
            do = "this PC could not look at it; that need not be the board's trouble"
            return Line(WARNING, "certificate", seen.error, do)
        return Line(BAD, "certificate", seen.error, do)
    if scheme == "http":
        return Line(WARNING, "certificate", "none: http:// is not encrypted", "use https://")
    days = (seen.expires - now).days
    found = f"verified; ends on {seen.expires:%Y-%m-%d}, in {days} days"
    if days < EXPIRES_DAYS:
        return Line(
            WARNING, "certificate", found, "renew it (cistern cloud does at its next start)"
        )
    return Line(OK, "certificate", found)

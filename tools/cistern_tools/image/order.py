"""What an image is ordered with: the machine, the network, the cloud. All is checked here, so that
a mistake shows at the desk and not on a board without a screen.
"""

import ipaddress
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cistern_tools import judge, paths, texts
from cistern_tools.image import ImageError

# IEEE 802.11: an SSID has 1 to 32 bytes, a WPA passphrase 8 to 63, or is 64 hexadecimal digits.
_MAX_SSID, _LEAST_PSK, _MAX_PSK = 32, 8, 64
_MAX_VALUE = 512  # docs/SPEC.md, "NVS"
WIFI_VARIABLE = "CISTERN_WIFI"


class Order(NamedTuple):
    """Everything about one board. machine: bytes of machine.json; psk: None for an open network;
    ca: {path on the chip: bytes}, from ca_files(); ifconfig: "" or "ip/mask/gateway/dns"; ntp: the
    time server, or "" for the usual one; clock: seconds since 1970 that have passed.
    """

    machine: bytes
    ssid: str
    psk: str | None
    url: str
    part_id: str
    secret: str
    ca: dict
    server_name: str = ""
    ifconfig: str = ""
    ntp: str = ""
    clock: int = 0

    def values(self):
        """{key: bytes} for the board's NVS (docs/SPEC.md)."""
        values = {
            "ssid": self.ssid,
            "psk": self.psk,
            "cloud_url": self.url,
            "part_id": self.part_id,
            "secret": self.secret,
            "server_name": self.server_name,
            "ifconfig": self.ifconfig,
            "ntp": self.ntp,
            "clock": str(self.clock or ""),
        }
        check_values(values)
        return {key: value.encode() for key, value in values.items() if value}

    def files(self):
        """{path on the chip: bytes} of the configuration that is no secret."""
        return {"/machine.json": self.machine, **self.ca}


def read_file(path, what):
    """The bytes of a file. Raises ImageError."""
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise ImageError(f"{what} {path} cannot be read: {e.strerror or e}") from None


def wifi(text=None, file=None, open_ssid=None):
    """(ssid, psk) from one of: "SSID:PASS", a file of two lines, the SSID of an open network, or
    else "SSID:PASS" in the environment. Raises ImageError, which never has the password in it.
    """
    given = [x for x in (text, file, open_ssid) if x]
    if len(given) > 1:
        raise ImageError("give one of --wifi, --wifi-file and --wifi-open")
    if open_ssid:
        return _network(open_ssid, None)
    if file:
        lines = _told(texts.lines, file, "the Wi-Fi file")
        if len(lines) != 2:
            raise ImageError(
                f"{file} must have two lines: the network's name and its password; "
                f"it has {len(lines)}"
            )
        return _network(*lines)
    text = text or os.environ.get(WIFI_VARIABLE)
    if not text:
        raise ImageError(
            "no Wi-Fi network: give --wifi-file FILE (two lines: name, password), "
            f"--wifi SSID:PASS, {WIFI_VARIABLE}=SSID:PASS in the environment, or --wifi-open SSID"
        )
    ssid, colon, psk = text.partition(":")
    if not colon:
        raise ImageError(
            "write the network as SSID:PASS, or use --wifi-open SSID; for a name "
            "with a colon in it use --wifi-file"
        )
    return _network(ssid, psk)


def _network(ssid, psk):
    if not _is_text(ssid) or not _is_text(psk or ""):
        raise ImageError("the network's name and password are not UTF-8: set the terminal to it")
    if not 0 < len(ssid.encode()) <= _MAX_SSID:
        raise ImageError(f"the network's name {ssid!r} is not 1 to {_MAX_SSID} bytes long")
    if psk is not None:
        size = len(psk.encode())
        hexadecimal = not psk.lower().strip("0123456789abcdef")
        if not _LEAST_PSK <= size <= _MAX_PSK or (size == _MAX_PSK and not hexadecimal):
            raise ImageError(
                f"the password of {ssid} has {size} bytes: WPA takes {_LEAST_PSK} to 63, "
                "or a key of 64 hexadecimal digits"
            )
    return ssid, psk


def ca_files(raw, name="the CA file"):
    """{path on the chip: bytes} of CA certificates in PEM or DER. Raises ImageError.

    One goes as DER: stock firmware's mbedTLS may be without a PEM reader. Several go as PEM, which
    Cistern takes apart itself.
    """
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            texts.decode(raw, name)
        if b"-----BEGIN" not in raw:
            return {"/ca.der": x509.load_der_x509_certificate(raw).public_bytes(Encoding.DER)}
        found = x509.load_pem_x509_certificates(raw)
    except texts.TextError as e:
        raise ImageError(str(e)) from None
    except ValueError:
        raise ImageError(_no_certificate(raw, name)) from None
    if len(found) == 1:
        return {"/ca.der": found[0].public_bytes(Encoding.DER)}
    return {"/ca.pem": b"".join(c.public_bytes(Encoding.PEM) for c in found)}


def _no_certificate(raw, name):
    """What is wrong with a CA file of which no certificate can be read."""
    if b"-----BEGIN CERTIFICATE" in raw:
        return f"{name} holds a certificate that is damaged or cut off: copy the file again"
    kind = "holds a key and no certificate" if b"KEY-----" in raw else "is no certificate"
    return (
        f"{name} {kind} (PEM or DER): give the certificate that the cloud's was signed with; "
        "cistern cloud keeps its own in .cistern/cloud/tls/ca.pem"
    )


def read_secret(path):
    """The secret in a file. Raises ImageError."""
    secret = _told(texts.secret, path, "the secret")
    if not secret:
        raise ImageError(f"{path} is empty: cistern part add writes a secret to a file")
    return secret


def _told(read, path, what):
    """What `read` makes of a text file. Raises ImageError."""
    try:
        return read(path)
    except texts.TextError as e:
        raise ImageError(str(e)) from None
    except OSError as e:
        raise ImageError(f"{what} {path} cannot be read: {e.strerror or e}") from None


def _is_text(value):
    """Whether it is text of an argument or the environment that was UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_values(values):
    """Raise ImageError for a value that the board does not take. values: {key: text or None}."""
    for key, value in values.items():
        if value and not _is_text(value):
            raise ImageError(f"{key} is not UTF-8")
        if value and len(value.encode()) > _MAX_VALUE:
            raise ImageError(f"{key} has more than {_MAX_VALUE} bytes")


def check_url(url):
    """The scheme of a cloud's URL. Raises ImageError."""
    paths.use_library()
    from cistern.cloud.url import parse

    try:
        return parse(url)[0]
    except ValueError as e:
        raise ImageError(str(e)) from None


def check_ip(text):
    """Raise ImageError unless this is "ip/mask/gateway/dns" or ""."""
    parts = text.split("/")
    try:
        if text and len(parts) != 4:
            raise ValueError("there are four: IP/MASK/GATEWAY/DNS")
        for part in parts if text else ():
            ipaddress.IPv4Address(part)
    except ValueError as e:
        raise ImageError(f"--ip {text}: {e}") from None


def check_cloud(url, ca, part_id):
    """Raise ImageError for a cloud that the board could never reach."""
    if check_url(url) == "https" and not ca:
        raise ImageError(
            "give --ca FILE, the certificate that the cloud's was signed with: a chip has none of "
            "its own (cistern cloud keeps it in .cistern/cloud/tls/ca.pem)"
        )
    if not part_id:
        raise ImageError("give --part-id ID: cistern part add makes one")


# docs/MODELS.md: "A model of your own".
NO_MODELS = (
    "a model of your own is a file in the folder `models` of the board's filesystem, which this "
    "command does not write (docs/MODELS.md): leave the component out here, copy the file to the "
    "board (mpremote cp FILE :models/) and give the board the component by its cloud's "
    "configuration; cistern check --models FOLDER judges it"
)


def check_machine(raw, name="machine.json", heap=judge.HEAP, https=False):
    """What `cistern check` says: the warnings of a configuration. Raises ImageError for errors.

    heap: bytes that the board has for Python. https: whether it is a plain ESP32 that syncs so.
    """
    try:
        judged = judge.judge(raw, name, heap, https=https, hint=NO_MODELS)
    except texts.TextError as e:
        raise ImageError(str(e)) from None
    if judged.errors:
        listed = "".join(f"\n  {judge.where(p)}: {p['message']}" for p in judged.errors)
        raise ImageError(f"{name} has errors (cistern check shows more):{listed}")
    return [
        f"{judge.where(p)}: {p['message']}" for p in judged.problems if p["level"] == "warning"
    ]

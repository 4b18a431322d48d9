"""A certificate authority for development: TLS that verifies, without anybody's help.

FOLDER holds ca.pem (give it to devices), ca.key, server.pem, server.key and certificates for
parts; keys have mode 0600. Keys are EC P-256, which ESP32's mbedTLS handles fastest, and the
extensions are those RFC 5280 asks for, so that strict verifiers (OpenSSL with X509_STRICT,
mbedTLS) are content.
"""

import contextlib
import datetime
import fcntl
import ipaddress
import logging
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = "tls"
# Where a simulated board finds the receiver, and where a PC is when an ESP32 is its access point.
NAMES = ("localhost", "127.0.0.1", "::1", "192.168.4.2")
CA_DAYS = 3650  # devices keep the CA certificate; it should outlive them
SERVER_DAYS = 397  # what public CAs give, so nothing here grows used to more
PART_DAYS = 90
RENEW_DAYS = 30  # before the end
BACKDATE = datetime.timedelta(days=1)  # a device's clock may be behind

log = logging.getLogger(__name__)


class Files(NamedTuple):
    """Where the CA certificate, and a server's certificate and key are."""

    ca: Path
    certificate: Path
    key: Path


def ensure(folder, names=()):
    """Returns the Files of a server certificate for NAMES and `names`, made or renewed if need be.

    names: host names and addresses. A certificate is renewed when it ends within RENEW_DAYS, when
    it lacks a name, or when it is of another CA. Raises OSError if the folder cannot be used.
    """
    folder = Path(folder)
    wanted = tuple(dict.fromkeys((*NAMES, *names)))
    with _locked(folder):
        ca, ca_key = _authority(folder)
        files = Files(folder / "ca.pem", folder / "server.pem", folder / "server.key")
        if not _usable(files.certificate, files.key, ca, wanted):
            certificate, key = _issue(ca, ca_key, wanted[0], wanted, SERVER_DAYS)
            _write(files.key, _key_pem(key), 0o600)
            _write(files.certificate, _pem(certificate), 0o644)
    return files


def check_pair(certificate_file, key_file):
    """Raises ValueError, which says what is wrong, unless the files are a certificate and its
    private key in PEM, as a server needs them; and OSError where one cannot be read.
    """
    raw, key_raw = Path(certificate_file).read_bytes(), Path(key_file).read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(raw)
    except ValueError:
        raise ValueError(f"{certificate_file} is no certificate in PEM") from None
    try:
        key = serialization.load_pem_private_key(key_raw, None)
    except TypeError:
        raise ValueError(
            f"{key_file} is encrypted: give a private key without a passphrase"
        ) from None
    except UnsupportedAlgorithm:
        return  # OpenSSL will say whether it can use it
    except ValueError:
        raise ValueError(f"{key_file} is no private key in PEM") from None
    if certificate.public_key() != key.public_key():
        raise ValueError(
            f"{certificate_file} and {key_file} do not belong together: the first "
            "certificate in the one file must be that of the key in the other"
        )


def part_certificate(folder, part):
    """Returns (certificate, key) in PEM for the local server of a part, `<part>.cistern.local`."""
    folder = Path(folder)
    with _locked(folder):
        ca, ca_key = _authority(folder)
        parts = folder / "parts"
        parts.mkdir(mode=0o700, exist_ok=True)
        certificate_file, key_file = parts / f"{part}.pem", parts / f"{part}.key"
        names = _part_names(part)
        if not _usable(certificate_file, key_file, ca, names):
            certificate, key = _issue(ca, ca_key, part, names, PART_DAYS)
            _write(key_file, _key_pem(key), 0o600)
            _write(certificate_file, _pem(certificate), 0o644)
        return certificate_file.read_text(), key_file.read_text()


def _part_names(part):
    # A label of a host name has at most 63 letters, digits and dashes (RFC 1035 section 2.3.1).
    label = "".join(c if c.isalnum() else "-" for c in part.lower())[:63].strip("-")
    return (f"{label}.cistern.local", "localhost")


@contextlib.contextmanager
def _locked(folder):
    """Keeps other processes from making another CA at the same moment."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _authority(folder):
    """Returns the CA's certificate and key, made on first use and when the old one ends soon."""
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    certificate, key = _load(certificate_file, key_file)
    if certificate is None or _ends_soon(certificate):
        if certificate_file.exists():
            log.warning("%s is replaced: give the new one to the devices", certificate_file)
        certificate, key = _new_authority()
        _write(key_file, _key_pem(key), 0o600)
        _write(certificate_file, _pem(certificate), 0o644)
    return certificate, key


def _new_authority():
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number makes the name unique: a client that holds an older CA looks for it by
    # name.
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Cistern"),
            x509.NameAttribute(
                NameOID.COMMON_NAME, f"Cistern development CA {serial & 0xFFFFFFFF:08x}"
            ),
        ]
    )
    builder = _builder(name, name, key.public_key(), serial, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = builder.add_extension(authority, critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _issue(ca, ca_key, common_name, names, days):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    left = ca.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    builder = _builder(
        subject, ca.subject, key.public_key(), x509.random_serial_number(), min(days, left.days)
    )
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    authority = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False
    )
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(subject, issuer, public_key, serial, days):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(**used):
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in every})


def _general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(certificate_file, key_file):
    """Returns (certificate, key), or (None, None) unless both can be read and belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
        return None, None
    return (certificate, key) if certificate.public_key() == key.public_key() else (None, None)


def _usable(certificate_file, key_file, ca, names):
    certificate, _ = _load(certificate_file, key_file)
    if certificate is None or certificate.issuer != ca.subject or _ends_soon(certificate):
        return False
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(map(_general_name, names)) <= set(held)


def _ends_soon(certificate):
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left < datetime.timedelta(days=RENEW_DAYS)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path, raw, mode):
    """Replaces a file at once, with this mode from the start."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
    os.replace(fresh, path)

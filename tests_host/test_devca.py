"""The development CA: strict verifiers accept it, and it renews itself before it is too late."""

import datetime
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from cistern_tools import devca
from cistern_tools.receiver.server import tls_context


def shake(files, name, verify_flags=ssl.VERIFY_X509_STRICT):
    """Does a TLS handshake with a server of these Files by name; returns the protocol version."""
    client = ssl.create_default_context(cafile=files.ca)
    client.verify_flags |= verify_flags
    server = tls_context(files.certificate, files.key)
    a, b = socket.socketpair()

    def serve():
        try:
            server.wrap_socket(a, server_side=True).close()
        except OSError:
            a.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with b, client.wrap_socket(b, server_hostname=name) as done:
            return done.version()
    finally:
        thread.join()


def test_strict_verification_succeeds_for_every_name_and_no_other(tmp_path):
    files = devca.ensure(tmp_path, ["receiver.example", "10.1.2.3"])
    for name in (*devca.NAMES, "receiver.example", "10.1.2.3"):
        assert shake(files, name) == "TLSv1.3"
    for name in ("example.org", "10.1.2.4", "x.localhost"):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(files, name)


def test_an_independent_verifier_of_rfc_5280_accepts_the_chain(tmp_path):
    files = devca.ensure(tmp_path)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    builder = PolicyBuilder().store(Store([ca])).time(datetime.datetime.now(datetime.UTC))
    chain = builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
    assert [c.subject for c in chain] == [leaf.subject, ca.subject]


def test_keys_are_p256_private_to_their_owner_and_stable(tmp_path):
    files = devca.ensure(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("ca.key", "server.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    for path in (files.ca, files.certificate):
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
        assert isinstance(key.curve, ec.SECP256R1)
    assert devca.ensure(tmp_path) == files
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_certificate_is_renewed_before_its_end_and_for_a_new_name(tmp_path, monkeypatch):
    monkeypatch.setattr(devca, "SERVER_DAYS", devca.RENEW_DAYS - 1)
    files = devca.ensure(tmp_path)
    ca, soon = files.ca.read_bytes(), files.certificate.read_bytes()
    monkeypatch.setattr(devca, "SERVER_DAYS", 397)
    devca.ensure(tmp_path)
    renewed = files.certificate.read_bytes()
    assert renewed != soon
    devca.ensure(tmp_path, ["new.example"])
    assert files.certificate.read_bytes() != renewed
    assert shake(files, "new.example")
    assert files.ca.read_bytes() == ca, "devices go on trusting the same CA"


def test_a_ca_near_its_end_and_damaged_files_are_replaced_together(tmp_path, monkeypatch):
    monkeypatch.setattr(devca, "CA_DAYS", devca.RENEW_DAYS - 1)
    files = devca.ensure(tmp_path)
    old = files.ca.read_bytes()
    monkeypatch.setattr(devca, "CA_DAYS", 3650)
    devca.ensure(tmp_path)
    assert files.ca.read_bytes() != old
    assert shake(files, "localhost")
    for name in ("ca.key", "ca.pem", "server.key", "server.pem"):
        (tmp_path / name).write_bytes(b"damaged")
        devca.ensure(tmp_path)
        assert shake(files, "localhost"), name


def test_processes_that_start_at_once_agree_on_one_ca(tmp_path):
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(devca.ensure(tmp_path).ca.read_bytes()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(done)) == 1

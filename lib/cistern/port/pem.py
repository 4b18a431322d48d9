"""Certificates as they are given: text (RFC 7468), DER or files."""

from binascii import a2b_base64


def ders(pem):
    """The DER objects in PEM, text or bytes. Raises ValueError.

    Not every build of MicroPython has mbedTLS's PEM reader, so all get DER.
    """
    if not pem:
        raise ValueError("none are configured, and MicroPython has none of its own")
    if isinstance(pem, str):
        pem = pem.encode()
    found = [a2b_base64(p.split(b"-----")[1]) for p in pem.split(b"-----BEGIN")[1:]]
    if not found:
        raise ValueError("neither DER nor PEM")
    return found


def authority(tls):
    """The CA certificates of connect()'s dict, bytes or text; None without any. Raises OSError."""
    if tls.get("ca") or not tls.get("ca_file"):
        return tls.get("ca")
    with open(tls["ca_file"], "rb") as f:
        return f.read()

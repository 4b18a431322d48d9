"""The URL of a cloud: https://host[:port] (or http:// for clear text)."""


def parse(url):
    """(scheme, host, port, authority) of a URL. Raises ValueError with what is wrong."""
    scheme, found, rest = url.partition("://")
    rest = rest.rstrip("/")
    if not found or scheme not in ("https", "http") or not rest or "/" in rest or "@" in rest:
        raise ValueError("%r is no cloud URL: write https://host:port" % url)
    host, port = rest, 443 if scheme == "https" else 80
    colon = rest.rfind(":")
    if colon > rest.rfind("]"):
        host = rest[:colon]
        try:
            port = int(rest[colon + 1 :])
        except ValueError:
            port = 0
        if not 0 < port < 65536:
            raise ValueError("the port in %r is not a number from 1 to 65535" % url)
    return scheme, host.strip("[]"), port, rest

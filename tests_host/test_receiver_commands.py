"""The commands: parts, keys, certificates and addresses, what they print and what they refuse."""

import json
import socket
import ssl
import stat
import urllib.parse

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from cistern_tools import devca
from cistern_tools.receiver import commands
from cistern_tools.receiver.accounts import API_KEY
from receiver_support import PART, Client, endpoint, process, reading, run, select, upload

app = typer.Typer()
app.command("cloud")(commands.cloud)
app.add_typer(commands.part_app, name="part")
app.add_typer(commands.apikey_app, name="apikey")


def call(*arguments, fails=False):
    """Runs a command; returns what it printed, to standard error if it has to fail."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == (1 if fails else 0), done.output
    return done.stderr if fails else done.stdout


def test_a_part_gets_a_secret_file_that_lets_it_in(tmp_path):
    data, secret = tmp_path / "cloud", tmp_path / "the board" / "secret"
    said = call("part", "add", PART, "--data", data, "--secret-file", secret)
    assert f"part {PART} added; its new secret is in {secret}" in said
    assert f"--part-id {PART} --secret-file '{secret}'" in said, "to be copied into a shell"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    text = secret.read_text().strip()
    assert len(text) >= 40
    assert "is there already" in call("part", "add", PART, "--data", data, "--secret-file", secret)
    assert secret.read_text().strip() == text
    assert text not in call("part", "list", "--data", data)
    assert PART in call("part", "list", "--data", data)

    async def main(ready):
        client = Client(endpoint(ready), ready["ca"])
        await client.login(PART, text)
        await client.upload(upload([reading(1)]))
        client.channel.close()

    with process(data) as (_, ready):
        run(main(ready))
    assert select(data, "SELECT count(*) FROM readings") == [(1,)]


def test_another_secret_needs_replace_and_a_bad_one_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("first secret\r\n")
    call("part", "add", PART, "--data", tmp_path, "--secret-file", secret)
    secret.write_text("second secret")
    again = ("part", "add", PART, "--data", tmp_path, "--secret-file", secret)
    assert "--replace" in call(*again, fails=True)
    assert f"part {PART} has another secret now" in call(*again, "--replace")
    assert "is there already" in call(*again, "--replace")
    for bad in (b"", b"short", b"x" * 5000, b"\xff" * 20):
        secret.write_bytes(bad)
        assert str(secret) in call(*again, fails=True)
    assert "cannot be a part id" in call("part", "add", "../x", "--data", tmp_path, fails=True)
    assert not (tmp_path / "x").exists()
    assert "will restart" in call("part", "restart", PART, "--data", tmp_path)
    assert (tmp_path / "machines" / f"{PART}.restart").exists()
    assert "there is no part" in call("part", "restart", "other", "--data", tmp_path, fails=True)
    assert "removed" in call("part", "remove", PART, "--data", tmp_path)
    assert "there is no part" in call("part", "remove", PART, "--data", tmp_path, fails=True)


def test_an_api_key_lets_programs_in(tmp_path):
    call("part", "add", PART, "--data", tmp_path)
    file = tmp_path / "key.json"
    call("apikey", "add", "--data", tmp_path, "--key-file", file, "--part", PART)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = json.loads(file.read_text())
    assert "exists" in call("apikey", "add", "--data", tmp_path, "--key-file", file, fails=True)
    assert "cistern part add" in call(
        "apikey", "add", "--data", tmp_path, "--part", "x", fails=True
    )
    listed = call("apikey", "list", "--data", tmp_path)
    assert (key["api_key_id"] in listed, key["api_key"] in listed) == (True, False)

    async def main(ready):
        client = Client(endpoint(ready), ready["ca"])
        await client.login(key["api_key_id"], key["api_key"], API_KEY)
        await client.upload(upload([reading(1)]))
        client.channel.close()

    with process(tmp_path) as (_, ready):
        run(main(ready))
    call("apikey", "remove", key["api_key_id"], "--data", tmp_path)
    assert call("apikey", "list", "--data", tmp_path) == ""


def test_options_that_contradict_or_cannot_work_are_refused(tmp_path):
    files = devca.ensure(tmp_path / "tls")
    data = ("cloud", "--data", tmp_path)
    assert "belong together" in call(*data, "--cert", files.certificate, fails=True)
    assert "choose one" in call(*data, "--dev", "--plaintext", fails=True)
    wrong = call(
        *data, "--cert", files.certificate, "--key", tmp_path / "tls" / "ca.key", fails=True
    )
    assert f"{files.certificate} and {tmp_path}/tls/ca.key do not belong together" in wrong
    missing = call(*data, "--cert", tmp_path / "none", "--key", tmp_path / "none", fails=True)
    assert f"{tmp_path}/none" in missing
    for listen in ("localhost", "localhost:x", ":70000", "1.2.3.4:-1"):
        assert "HOST:PORT" in call(*data, "--listen", listen, fails=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "in use" in call(*data, "--listen", address, fails=True)
    assert "192.0.2.1" in call(*data, "--listen", "192.0.2.1:0", fails=True)


def test_the_file_that_is_no_certificate_or_key_is_named(tmp_path):
    files, other = devca.ensure(tmp_path / "own"), tmp_path / "machine.json"
    other.write_text("{}")
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    der = tmp_path / "server.der"
    der.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"pass"),
        )
    )
    for cert, key_file, words in (
        (other, files.key, f"{other} is no certificate in PEM"),
        (der, files.key, f"{der} is no certificate in PEM"),
        (files.key, files.certificate, f"{files.key} is no certificate in PEM"),
        (files.certificate, other, f"{other} is no private key in PEM"),
        (files.certificate, locked, f"{locked} is encrypted"),
        (files.certificate, tmp_path, f"{tmp_path}: Is a directory"),
    ):
        options = ("--data", tmp_path / "cloud", "--cert", cert, "--key", key_file)
        said = call("cloud", *options, fails=True)
        assert words in said and "SSL" not in said


def test_a_certificate_of_ones_own_is_used(tmp_path):
    files = devca.ensure(tmp_path / "own", ["receiver.example"])
    options = ("--cert", str(files.certificate), "--key", str(files.key))
    with process(tmp_path / "cloud", *options) as (_, ready):
        assert ready["ca"] is None
        assert certificate_names(ready, files.ca, "receiver.example")
    assert not (tmp_path / "cloud" / "tls").exists()


def certificate_names(ready, ca, name):
    """Connects by `name`, verifying; returns the certificate's names."""
    parts = urllib.parse.urlsplit(ready["url"])
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    raw = socket.create_connection((parts.hostname, parts.port), 20)
    with raw, context.wrap_socket(raw, server_hostname=name) as done:
        assert done.selected_alpn_protocol() == "h2"
        return [value for _, value in done.getpeercert()["subjectAltName"]]


@pytest.mark.parametrize("host", ["0.0.0.0", "[::1]", "localhost"])
def test_the_printed_url_can_be_used_and_is_in_the_certificate(tmp_path, host):
    if host == "[::1]" and not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with process(tmp_path, "--listen", f"{host}:0", "--name", "more.example") as (_, ready):
        name = urllib.parse.urlsplit(ready["url"]).hostname
        assert name != "0.0.0.0"
        assert "more.example" in certificate_names(ready, ready["ca"], name)

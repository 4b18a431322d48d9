"""Text files that users bring are read by one rule, wherever they are read."""

import subprocess
import sys

import pytest

from cistern_tools import texts
from cistern_tools.image import ImageError, order
from cistern_tools.receiver.accounts import AccountError, read_secret_file
from support import ROOT

SECRET = "0123456789abcdefghij"
GOOD = {
    "plain": SECRET.encode(),
    "a line's end": SECRET.encode() + b"\n",
    "Windows": b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n",
    "spaces at both ends": b" \t" + SECRET.encode() + b" \r\n\r\n",
    "an old Mac's line": SECRET.encode() + b"\r",
}
BAD = {
    "UTF-16": (SECRET + "\r\n").encode("utf-16"),
    "UTF-16 without its mark": SECRET.encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + SECRET.encode("utf-16-be"),
    "UTF-32": SECRET.encode("utf-32"),
    "Latin-1": SECRET.encode() + b"\xe4\n",
    "cut in a character": SECRET.encode() + "ä".encode()[:1],
    "a zero width space": (SECRET + "\u200b\n").encode(),
    "a mark in the middle": (SECRET[:5] + "\ufeff" + SECRET[5:]).encode(),
    "a no-break space": (SECRET + "\xa0").encode(),
    "a mark of direction": ("\u202e" + SECRET).encode(),
    "a control": SECRET.encode() + b"\x07x",
    "two lines": SECRET.encode() + b"\n" + SECRET.encode(),
}


@pytest.fixture
def file(tmp_path):
    def write(raw):
        path = tmp_path / "file.txt"
        path.write_bytes(raw)
        return path

    return write


@pytest.mark.parametrize("kind", GOOD)
def test_receiver_image_and_board_read_the_same_secret(file, kind):
    path = file(GOOD[kind])
    assert read_secret_file(path) == order.read_secret(path) == SECRET
    # As firmware/sim.py does, in which there is no room for the rest of the rule.
    assert path.read_bytes().decode().replace("\ufeff", "").strip() == SECRET


@pytest.mark.parametrize("kind", BAD)
def test_what_might_be_another_secret_is_refused_with_its_place(file, kind):
    path = file(BAD[kind])
    for read, error in ((read_secret_file, AccountError), (order.read_secret, ImageError)):
        with pytest.raises(error) as refused:
            read(path)
        text = str(refused.value)
        assert text.startswith(f"{path}:"), text
        assert any(w in text for w in ("save it as UTF-8", "delete it", "one line")), text
        assert SECRET not in text and SECRET[:8] not in text
    sim = [
        *(sys.executable, "-m", "cistern_tools", "sim", str(ROOT / "examples/try-out.json")),
        *("--cloud", "http://localhost:1", "--part-id", "p", "--secret-file", str(path)),
        *("--flash", str(path.parent / "flash"), "--for", "1"),
    ]
    done = subprocess.run(sim, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "file.txt:" in done.stderr, done.stderr
    assert not (path.parent / "flash").exists()


def test_the_place_is_that_of_the_byte_in_the_file(file):
    with pytest.raises(texts.TextError) as refused:
        texts.read(file(b"\xef\xbb\xbfMyNet\nsecret-p\xe4ss\n"))
    assert (refused.value.line, refused.value.column) == (2, 9)
    assert "byte 17 of the file is 0xE4" in refused.value.message


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfMyNet\r\nsecret-pass\r\n",
        b"MyNet\nsecret-pass",
        b"\n MyNet \n\n\tsecret-pass  \n\n",
    ],
)
def test_a_wifi_file_means_the_same_whatever_program_wrote_it(file, raw):
    assert order.wifi(file=file(raw)) == ("MyNet", "secret-pass")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("MyNet\nsecret-päss\n".encode("latin-1"), "byte 14 of the file is 0xE4"),
        ("MyNet\nsecret-pass\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("My\u200bNet\nsecret-pass\n".encode(), ":1:3: here is U+200B (ZERO WIDTH SPACE)"),
        (b"MyNet\n", "it has 1"),
        (b"", "it has 0"),
        (b"MyNet\nsecret-pass\nmore\n", "it has 3"),
    ],
)
def test_a_wifi_file_that_would_be_misread_is_refused_without_its_password(file, raw, words):
    with pytest.raises(ImageError) as refused:
        order.wifi(file=file(raw))
    assert words in str(refused.value)
    assert "secret-p" not in str(refused.value)


def test_a_name_that_really_has_a_space_at_its_end_can_still_be_given():
    assert order.wifi("MyNet :secret-pass") == ("MyNet ", "secret-pass")
    with pytest.raises(ImageError, match="not UTF-8"):
        order.wifi("MyN\udce4t:secret-pass")

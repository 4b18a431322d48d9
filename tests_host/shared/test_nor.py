"""The simulated flash chip behaves as NOR flash does."""

import os

from cistern.port.nor import BLOCK, NorFile

PATH = "/tmp/cistern_test_nor.bin"


def _fresh():
    try:
        os.remove(PATH)
    except OSError:
        pass
    return NorFile(PATH, 4 * BLOCK)


def _read(flash, block, off, n):
    buf = bytearray(n)
    flash.readblocks(block, buf, off)
    return bytes(buf)


def test_a_new_chip_is_erased():
    flash = _fresh()
    assert flash.ioctl(4, 0) == 4 and flash.ioctl(5, 0) == BLOCK
    assert _read(flash, 3, 0, BLOCK) == b"\xff" * BLOCK


def test_a_program_only_clears_bits():
    flash = _fresh()
    flash.writeblocks(1, b"\xf0\x0f", 10)
    flash.writeblocks(1, b"\x3f\xff", 10)
    assert _read(flash, 1, 9, 4) == b"\xff\x30\x0f\xff"


def test_a_program_across_pages_arrives_whole():
    flash = _fresh()
    data = bytes([i & 255 for i in range(700)])
    flash.writeblocks(2, data, 100)
    assert _read(flash, 2, 100, 700) == data
    assert flash.programmed == 700


def test_an_erase_sets_one_block():
    flash = _fresh()
    flash.writeblocks(0, b"\x00" * 16, 0)
    flash.writeblocks(1, b"\x00" * 16, 0)
    assert flash.ioctl(6, 1) == 0
    assert _read(flash, 0, 0, 16) == b"\x00" * 16
    assert _read(flash, 1, 0, 16) == b"\xff" * 16
    assert flash.erases == 1


def test_what_was_programmed_survives_the_process():
    flash = _fresh()
    flash.writeblocks(3, b"kept", 4000)
    assert _read(NorFile(PATH, 4 * BLOCK), 3, 4000, 4) == b"kept"


def test_another_size_than_it_was_made_with_is_refused_and_named():
    _fresh().writeblocks(0, b"x", 0)
    try:
        NorFile(PATH, 8 * BLOCK)
    except ValueError as e:
        assert "32768" in str(e) and PATH in str(e)
    else:
        raise AssertionError("accepted")

"""Which packets of a time server are a time (RFC 5905; RFC 4330, section 5)."""

from struct import pack, pack_into

from cistern.port import ntp

ORIGIN = bytes(range(1, 9))
EPOCH = 2208988800
NOW = 1795365111
BEFORE = NOW - 86400  # what the board remembers


def packet(seconds=NOW + EPOCH, fraction=1 << 31, first=0x24, stratum=2, **at):
    """A good answer; at: {"at40": bytes} writes over it."""
    made = bytearray(48)
    made[0], made[1] = first, stratum
    pack_into(">II", made, 4, 3000, 900)
    made[24:32] = ORIGIN
    pack_into(">I", made, 16, (seconds - 64) & 0xFFFFFFFF)
    made[32:40] = made[40:48] = pack(">II", seconds & 0xFFFFFFFF, fraction)
    for key, data in at.items():
        k = int(key[2:])
        made[k : k + len(data)] = data
    return bytes(made)


def why(made, floor=BEFORE):
    """The reason for which a packet is no time; "" where it is nobody's answer."""
    try:
        found = ntp.answer(ORIGIN, made, floor)
    except ValueError as e:
        return str(e)
    assert found is None, found
    return ""


def test_the_query_is_a_clients_and_has_nothing_but_the_origin():
    assert bytes(ntp.query(ORIGIN)) == b"\x23" + bytes(39) + ORIGIN


def test_a_good_answer_is_a_time_to_the_microsecond():
    assert ntp.answer(ORIGIN, packet(), BEFORE) == NOW * 1000000 + 500000
    assert ntp.answer(ORIGIN, packet(fraction=0xFFFFFFFF), 0) == NOW * 1000000 + 999999
    # A leap second is announced, a server of stratum 15, one that never says when it was set.
    for good in (
        packet(first=0x64),
        packet(first=0xA4),
        packet(stratum=15),
        packet(stratum=1),
        packet(at16=bytes(8)),
        packet() + b"a MAC behind it",
    ):
        assert ntp.answer(ORIGIN, good, BEFORE) == NOW * 1000000 + 500000


def test_what_is_no_answer_to_this_query_is_passed_over():
    for n in (0, 1, 16, 40, 47):
        assert why(packet()[:n]) == ""
    for bad in (
        packet(at24=bytes(8)),
        packet(at24=ORIGIN[:7] + b"\x09"),
        packet(at24=bytes(reversed(ORIGIN))),
        bytes(48),
        b"\xff" * 48,
    ):
        assert why(bad) == ""


def test_every_mode_but_a_servers_and_every_other_version_is_passed_over():
    for first in range(64):
        found = why(packet(first=first)) if first != 0x24 else ""
        assert found == "", first
    # Also where it would say that it has no time.
    assert why(packet(first=0xE3)) == ""


def test_a_server_that_is_not_synchronised_has_no_time():
    assert "does not know the time" in why(packet(first=0xE4))
    for stratum in (16, 17, 128, 255):
        assert "does not know the time" in why(packet(stratum=stratum))


def test_a_kiss_of_death_is_no_time_and_its_code_is_said():
    assert why(packet(stratum=0, at12=b"RATE")) == "the time server refuses: RATE"
    assert why(packet(stratum=0, at12=b"DE\x00\xff")) == "the time server refuses: DE"
    assert "refuses" in why(packet(first=0xE4, stratum=0, at12=b"DENY"))


def test_a_transmit_time_of_nothing_is_no_time():
    for fraction in (0, 1, 0xFFFFFFFF):
        assert "time is none" in why(packet(at40=pack(">II", 0, fraction)))


def test_a_server_that_heard_of_the_time_long_ago_has_none():
    for at4 in (
        pack(">II", 0, 16 << 16),
        pack(">II", 32 << 16, 0),
        pack(">II", 20 << 16, 7 << 16),
        b"\xff" * 8,
    ):
        assert "time is none" in why(packet(at4=at4))
    assert ntp.answer(ORIGIN, packet(at4=pack(">II", 0, (16 << 16) - 1)), BEFORE)
    # It says that it was set later than it is.
    assert "time is none" in why(packet(at16=pack(">I", NOW + EPOCH + 1)))


def test_a_time_that_is_over_is_none():
    for seconds in (1, 86399):
        assert "time is none" in why(packet(seconds, at16=bytes(4)))
    for seconds in (EPOCH - 1, EPOCH + 1, EPOCH + BEFORE - 601):
        assert "cannot be" in why(packet(seconds))
    assert ntp.answer(ORIGIN, packet(EPOCH + BEFORE - 600), BEFORE)
    assert "cannot be: 1 s since 1970, and it was 1795278711 before" in why(packet(EPOCH + 1))


def test_a_time_that_no_board_sees_is_none():
    assert "cannot be" in why(packet(EPOCH + BEFORE + 315360001))
    assert ntp.answer(ORIGIN, packet(EPOCH + BEFORE + 315360000), BEFORE)
    # A board that remembers nothing has nothing to compare it to.
    assert ntp.answer(ORIGIN, packet(EPOCH + 1), 0) == 1500000
    assert ntp.answer(ORIGIN, packet(EPOCH + NOW + (1 << 30)), 0)


def test_seconds_are_counted_anew_in_2036():
    wrap = (1 << 32) - EPOCH  # 2036-02-07T06:28:16Z
    for utc in (wrap - 1, wrap + 1, wrap + 86400 * 365):
        assert ntp.answer(ORIGIN, packet(EPOCH + utc), wrap - 1000) == utc * 1000000 + 500000
    # The last second of the era that counts from 1900 is said to be over where it is.
    assert "cannot be" in why(packet(EPOCH + wrap - 1), wrap + 700)
    # A reference of before the wrap is not in the future.
    early = packet(EPOCH + wrap + 1, at16=pack(">I", 0xFFFFFFF0))
    assert ntp.answer(ORIGIN, early, wrap) == (wrap + 1) * 1000000 + 500000

"""Chips on SPI: the MCP3008 as an analog reader of the board."""

from cistern.resources import catalog
from devices import Bench, error_of, near, payload

SPI = {"name": "main", "clock_pin": 18, "mosi_pin": "23", "miso_pin": 19}
READER = {"name": "a", "pin": "3", "spi_bus": "main", "chip_select": 25}


def board_with(bench, *analogs, **bus):
    return bench.build("b", "board", "esp32", spis=[dict(SPI, **bus)], analogs=list(analogs))


def problems(**attributes):
    return ["%s: %s" % p for p in catalog.check("rdk:component:board", "esp32", attributes)]


def test_a_reader_gives_ten_bits_of_its_input_as_sixteen():
    bench = Bench()
    board = board_with(bench, READER, dict(READER, name="b", pin=4))
    for raw, wanted in ((0, 0), (1023, 65535), (512, 32800)):
        bench.hardware["spi", 18, 25].raw = {3: raw, 4: 1023 - raw}
        assert bench.read(board, "Analogs", {"reader_name": "a"}) == {"value": wanted}
        assert bench.read(board, "Analogs", {"reader_name": "b"}) == {"value": 65535 - wanted}


def test_a_timer_does_not_read_it_in_the_middle_of_another_reading():
    bench = Bench()
    board = board_with(bench, READER)
    assert not board.source("Analogs", {"reader_name": "a"}).at_once


def test_sensors_sit_on_such_readers_and_know_the_reference():
    bench = Bench()
    board_with(bench, READER, dict(READER, name="r", pin=7, reference_volts=2.5))
    bench.hardware["spi", 18, 25].raw = {3: 233, 7: 512}  # 0.75 V of 3.3: 25 °C; half of 2.5
    sensor = bench.build("t", "sensor", "tmp36", analog_reader="a")
    assert near(bench.read(sensor)["readings"]["celsius"], 25, 0.2)
    sensor = bench.build("v", "sensor", "analog", analog_reader="r", num_readings=255)
    assert near(bench.read(sensor)["readings"]["volts"], 1.25, 0.001)


def test_a_transfer_takes_what_its_bits_take():
    bench = Bench()
    slow = board_with(bench, READER, baudrate_hz=10000).source("Analogs", {"reader_name": "a"})
    before = bench.now
    payload(slow)
    assert 2400 <= bench.now - before < 2500


def test_a_chip_that_is_away_is_told_with_its_wires_and_works_when_it_is_back():
    bench = Bench()
    source = board_with(bench, READER).source("Analogs", {"reader_name": "a"})
    chip = bench.hardware["spi", 18, 25]
    chip.plugged = False
    told = error_of(payload, source)
    where = "SPI bus main (clock GPIO 18, MOSI 23, MISO 19, chip select 25)"
    assert told.startswith("no answer from the MCP3008 on " + where), told
    chip.plugged = True
    chip.raw = {3: 0}
    assert payload(source) == {"value": 0}


def test_pins_are_taken_and_a_chip_select_is_shared_by_its_inputs_only():
    bench = Bench()
    board_with(bench, READER, dict(READER, name="b", pin=0))
    assert bench.lines == []
    for pin, what in (
        (18, "spis[0].clock_pin"),
        (23, "spis[0].mosi_pin"),
        (19, "spis[0].miso_pin"),
        (25, "analogs[0].chip_select"),
    ):
        told = error_of(lambda pin=pin: bench.build("d", "sensor", "dht22", pin=pin))
        assert told == "GPIO %d cannot be pin of d: b has it as %s" % (pin, what)
    bench = Bench()
    told = error_of(lambda: board_with(bench, dict(READER, chip_select=19)))
    assert "GPIO 19 is given as spis[0].miso_pin and as analogs[0].chip_select" in told
    told = error_of(lambda: board_with(bench, READER, mosi_pin=18))
    assert "GPIO 18 is given as spis[0].clock_pin and as spis[0].mosi_pin" in told
    told = error_of(
        lambda: board_with(bench, {"name": "i", "pin": 32}, dict(READER, chip_select=32))
    )
    assert "GPIO 32 is given as analogs[0].pin and as analogs[1].chip_select" in told


def test_wrong_attributes_are_told():
    for spi, reader, told in (
        ({"miso_pin": 7}, {}, "spis[0].miso_pin: GPIO 7 belongs to the flash chip"),
        ({"mosi_pin": 34}, {}, "spis[0].mosi_pin: GPIO 34 can only be an input"),
        ({"mode": 4}, {}, "spis[0].mode: is 4; it must be 0 to 3"),
        ({"name": "other"}, {}, "analogs[0].spi_bus: no entry of `spis` has the name 'main'; it"),
        ({}, {"pin": 8}, "analogs[0].pin: 8 is not a channel of the chip, 0 to 7"),
        ({}, {"pin": "x"}, "analogs[0].pin: 'x' is not a channel of the chip, 0 to 7"),
        ({}, {"chip_select": 34}, "analogs[0].chip_select: GPIO 34 can only be an input"),
        ({}, {"reference_volts": 0}, "analogs[0].reference_volts: is 0; it must be 0.25 to 5.5"),
        ({}, {"spi_bus": 3}, "analogs[0].spi_bus: 3 is not a string"),
    ):
        found = problems(spis=[dict(SPI, **spi)], analogs=[dict(READER, **reader)])
        assert any(f.startswith(told) for f in found), (found, told)
    found = problems(analogs=[{"name": "a", "spi_bus": "main"}])
    assert "analogs[0].pin: missing: give a channel of the chip" in found, found
    assert "analogs[0].chip_select: missing: give a GPIO number" in found, found

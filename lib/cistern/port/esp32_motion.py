"""Pulses that the chip makes, measures and counts; the face is that of port/simulated."""

from time import sleep_us

import machine

_encoders = {}  # number → machine.Encoder, of those in use
_COUNTERS = 8  # pulse counters of the ESP32


def pwm(pin, freq):
    """machine.PWM of a GPIO number, without a pulse until a duty is set."""
    return machine.PWM(machine.Pin(pin), freq=freq, duty_u16=0)


def pulse_us(trigger, echo, timeout_us):
    """A pulse of 10 µs on the pin `trigger`, then machine.time_pulse_us(echo, 1, timeout_us): the
    length of the answer, -2 if it did not begin and -1 if it did not end in time.
    """
    trigger.value(1)
    sleep_us(10)
    trigger.value(0)
    return machine.time_pulse_us(echo, 1, timeout_us)


def encoder(pin_a, pin_b):
    """machine.Encoder with four counts a cycle; in MicroPython since v1.26."""
    if not hasattr(machine, "Encoder"):
        raise ValueError("this firmware has no pulse counter: MicroPython has from v1.26 on")
    for number in range(_COUNTERS):
        if number not in _encoders:
            a, b = machine.Pin(pin_a), machine.Pin(pin_b)
            _encoders[number] = machine.Encoder(number, a, b, phases=4)
            return _encoders[number]
    raise ValueError("all %d pulse counters of the chip are taken" % _COUNTERS)


def end_encoder(made):
    """Give back what encoder() made."""
    made.deinit()
    for number in list(_encoders):
        if _encoders[number] is made:
            del _encoders[number]

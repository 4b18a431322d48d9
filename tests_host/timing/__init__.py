"""The timing harness: the firmware's own code on CPython, in virtual time, at the chip's prices.

`python tests_host/timing --seed 1` prints the report and judges the bars; docs/TIMING.md says what
is modelled, and where each figure is from.
"""

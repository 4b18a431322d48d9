# Runs at each start of the chip, before main.py. Put here what a board needs before Cistern:
# a power switch of its sensors, a pin that must be low.

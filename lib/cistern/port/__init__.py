"""What differs from runtime to runtime: clock, flash, pins, sockets. Import one module of it, by
name.
"""

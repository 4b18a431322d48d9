"""A chip on the PC: images for tests, and what runs their files under MicroPython."""

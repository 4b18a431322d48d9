"""The power-cut engine: what is left of a log when power goes at any operation of its flash."""

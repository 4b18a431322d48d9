"""Collectors at their own rates: when each is due, and what becomes of a reading."""

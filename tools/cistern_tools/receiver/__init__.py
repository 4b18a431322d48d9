"""The receiver: a cloud of one's own, with Viam's protocol and SQLite."""

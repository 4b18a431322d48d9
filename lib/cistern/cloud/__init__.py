"""Viam's cloud as a device sees it: login, data sync, and the messages these take."""

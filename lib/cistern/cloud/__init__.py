"""Viam's cloud as seen from a device: login, data sync, and the few protobuf messages these take.
"""

"""Cutting a byte stream into ``(name, payload)`` pairs: the first of the three steps of a stream."""

"""``deltawire compare``: whether two OpenAI-shaped endpoints answer alike.

``judge`` and all that it uses know bytes and times and nothing else; ``ask`` brings them.
"""

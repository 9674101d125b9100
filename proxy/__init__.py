"""deltawire's outer half: every socket, file, clock and secret lives here; ``translators`` has none."""

__version__ = "0.1.0"

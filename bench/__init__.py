"""How fast the gateway is, measured so that the figures can be believed.

``python -m bench`` measures it beside no gateway, nginx and its peers. ``python -m bench.translate`` times the pure
half: nanoseconds per frame, no sockets. ``python -m bench.relay`` compares the ways of running our own relay.

Small modules carry them: ``wires`` speaks the platforms' dialects, ``plan`` says what one answer shall be,
``judge`` checks every byte of one, ``processes`` starts and accounts, ``report`` prints and compares. ``cases``,
``targets``, ``service``, ``generator`` and ``measure`` are of the first bench, whose two ends are the C programs
in ``engine``; ``standin`` and ``load`` are the same in Python. JSON lines go to stdout, the rest to stderr.
"""

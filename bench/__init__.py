"""How fast the gateway is, measured so that the figures can be believed.

``python -m bench.translate`` times the pure half: nanoseconds per frame, no sockets. ``python -m bench.relay``
measures the whole gateway between a stand-in upstream and a load generator, each a process of its own, beside
the same streams without a gateway.

Small modules carry both: ``wires`` speaks the platforms' dialects, ``plan`` says what one answer shall be,
``standin`` plays it, ``load`` asks and records, ``judge`` checks every byte of what was recorded, ``processes``
starts and accounts, ``report`` prints. JSON lines go to stdout, progress and a table to stderr.
"""

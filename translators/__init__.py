"""deltawire's inner half: it retells one stream of bytes as another and does nothing else.

::

     upstream bytes        (name, payload)           events              client bytes
    ───────────────▶ framing ───────▶ upstream ───────────▶ surface ───────────────▶
                     sse, document     one per platform      one per client dialect
                     └──────────── Stream.feed(bytes) -> bytes ────────────┘

A *framing* cuts bytes into named payloads wherever they were cut on the way. An *upstream* reads one
platform's payloads and emits events: fourteen words (``events``) for all that an assistant can do in a stream.
A *surface* renders events for one kind of client. Neither of the two knows that the other exists, so M
platforms and N surfaces are M + N files: a new platform is one file in ``upstreams`` and its name in the table
there, with recorded wires and their expected events as its tests.

Everything here is a function of its arguments. Nothing reads a socket, a clock, a file or the environment, and
nothing logs: time and ids come in (``ids.Envelope``), requests to an upstream go out as data (``Call``), and a
failure is an event that carries an error (``errors``) which says whose fault it is. So each piece can be tried
with a bytes literal:

>>> from translators.framing.sse import SSE
>>> SSE().feed(b"data: hi\\n\\n")
[(b'', b'hi')]

``Stream.feed`` is the per-token path of the whole product: one synchronous call from upstream bytes to client
bytes. Work is done once per stream (heads and tails of frames, bound methods, chosen branches) so that little is
left per token. ``tests/test_architecture.py`` keeps all of this true.
"""

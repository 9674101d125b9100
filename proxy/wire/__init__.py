"""The way to an upstream: a request out, an answer's head and bytes in.

Two ways with one shape (``base``). ``lean`` is our own HTTP/1.1 over asyncio, made for the per-token path: a
pool, a parser and a connection that hands bytes on in the callback in which they arrived. ``reference`` is
aiohttp's client, one coroutine turn for each read: the way by which the other one is judged.
"""

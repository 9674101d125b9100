"""Which heads are read past aiohttp's parser, and which are not.

What is declined costs time and nothing else, but each check has a head that would pass without it.
"""

from __future__ import annotations

import pytest

from proxy.heads import LONGEST_KEPT, MAX_HEADS, Heads
from tests.proxy.heads_setup import LINE, USUAL, head, theirs, usual

# What is read.

SDKS = {
    "openai python": (
        "Host: 127.0.0.1:8000",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Accept: application/json",
        "Content-Type: application/json",
        "User-Agent: OpenAI/Python 3.0.0",
        "X-Stainless-Lang: python",
        "X-Stainless-Raw-Response: true",
        "Authorization: Bearer sk-0123456789",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        "Content-Length: 91",
    ),
    "requests": (
        "Host: localhost:8000",
        "User-Agent: python-requests/2.32.5",
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Connection: keep-alive",
        "Content-Length: 91",
        "Content-Type: application/json",
    ),
    "aiohttp": (
        "Host: localhost:8000",
        "Authorization: Bearer sk-0123456789",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate, br",
        "User-Agent: Python/3.11 aiohttp/3.14.5",
        "Content-Length: 91",
        "Content-Type: application/json",
    ),
    "undici": (
        "host: localhost:8000",
        "connection: keep-alive",
        "accept: application/json",
        "content-type: application/json",
        "user-agent: OpenAI/JS 6.1.0",
        "x-stainless-os: Linux",
        "authorization: Bearer sk-0123456789",
        "accept-language: *",
        "sec-fetch-mode: cors",
        "accept-encoding: gzip, deflate",
        "content-length: 91",
    ),
    "node:http": (
        "Accept: application/json, text/plain, */*",
        "Content-Type: application/json",
        "User-Agent: axios/1.12.2",
        "Content-Length: 91",
        "Accept-Encoding: gzip, compress, deflate, br",
        "Host: localhost:8000",
        "Connection: keep-alive",
    ),
    "curl": (
        "Host: localhost:8000",
        "User-Agent: curl/8.5.0",
        "Accept: */*",
        "Content-Type: application/json",
        "Content-Length: 91",
    ),
    "Go": (
        "Host: localhost:8000",
        "User-Agent: OpenAI/Go 3.0.0",
        "Content-Length: 91",
        "Accept: application/json",
        "Authorization: Bearer sk-0123456789",
        "Content-Type: application/json",
        "Accept-Encoding: gzip",
    ),
    "OkHttp": (
        "Accept: application/json",
        "Authorization: Bearer sk-0123456789",
        "User-Agent: OpenAIOkHttpClientImpl/Java 4.0.0",
        "Content-Type: application/json",
        "Content-Length: 91",
        "Host: localhost:8000",
        "Connection: Keep-Alive",
        "Accept-Encoding: gzip",
    ),
    "reqwest": (
        "content-type: application/json",
        "authorization: Bearer sk-0123456789",
        "accept: */*",
        "host: localhost:8000",
        "content-length: 91",
    ),
    "browser": (
        "Host: localhost:8000",
        "Connection: keep-alive",
        "Content-Length: 91",
        'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"',
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Origin: https://app.example",
        "Accept-Language: de-DE,de;q=0.9",
    ),
}


@pytest.mark.parametrize("lines", SDKS.values(), ids=SDKS)
def test_the_heads_of_usual_clients_are_read(lines):
    data = head(*lines) + b"~" * 91
    headers, begin, length = Heads().read(data)
    assert data[begin:] == b"~" * length
    assert [f"{name}: {value}" for name, value in headers.items()] == [
        line for line in lines if not line.lower().startswith("content-length")
    ]
    assert theirs(data[:begin], length) == list(headers.items())


READ = {
    "nothing to read": ((*USUAL[:2], "Content-Length: 0"), 0),
    "nine digits": ((*USUAL[:2], "Content-Length: 999999999"), 999_999_999),
    "zeros": ((*USUAL[:2], "Content-Length: 000000005"), 5),
    "no value": ((*USUAL, "X:"), 5),
    "no host name": (("Host:", "Content-Length: 5"), 5),
    "blanks around": ((*USUAL, "X: \t a b\tc \t"), 5),
    "no blank": ((*USUAL, "X:a"), 5),
    "colons": ((*USUAL, "X: a:b::c"), 5),
    "every sign": ((*USUAL, "!#$%&'*+-.^_`|~09Az: ~"), 5),
    "its name in a value": ((*USUAL[:2], "X: Content-Length: 7", "Content-Length: 5"), 5),
    "its name in another name": (("X-Content-Length: 7", *USUAL), 5),
    "its name before another name": ((*USUAL, "Content-Length-X: 7"), 5),
    "wants to stay": ((*USUAL, "CONNECTION:  Keep-ALIVE\t"), 5),
    "64 headers": ((*USUAL, *(f"X{number}: a" for number in range(61))), 5),
    "long value": ((*USUAL, "X: " + "x" * 3999), 5),
    "long name": ((*USUAL, "x" * 200 + ": a"), 5),
}


@pytest.mark.parametrize(("lines", "length"), READ.values(), ids=READ)
def test_what_is_well_formed_is_read_as_aiohttp_reads_it(lines, length):
    data = head(*lines)
    headers, begin, found = Heads().read(data)
    assert (begin, found) == (len(data), length)
    assert list(headers.items()) == theirs(data, length)


def test_what_follows_the_head_is_not_looked_at():
    data = usual()
    for rest in (b"", b"{", b"hello" + data, b"\nContent-Length: 7\r\n\r\n", b"\r\n\r\n"):
        _, begin, length = Heads().read(data + rest)
        assert (begin, length) == (len(data), 5)


# What is declined.


def odd(line: str) -> bytes:
    return head("Host: test", line, "Content-Length: 5")


def length_of(line: str, *more: str) -> bytes:
    return head("Host: test", line, *more, "Accept: */*")


DECLINED = {
    "another method": head(*USUAL, line="PUT /v1/chat/completions HTTP/1.1"),
    "another case of the method": head(*USUAL, line="post /v1/chat/completions HTTP/1.1"),
    "longer method": head(*USUAL, line="XPOST /v1/chat/completions HTTP/1.1"),
    "another target": head(*USUAL, line="POST /v1/completions HTTP/1.1"),
    "longer target": head(*USUAL, line="POST /v1/chat/completions/ HTTP/1.1"),
    "query": head(*USUAL, line="POST /v1/chat/completions? HTTP/1.1"),
    "absolute target": head(*USUAL, line="POST http://test/v1/chat/completions HTTP/1.1"),
    "escaped target": head(*USUAL, line="POST /v1/chat/%63ompletions HTTP/1.1"),
    "HTTP/1.0": head(*USUAL, line="POST /v1/chat/completions HTTP/1.0"),
    "HTTP/1.10": head(*USUAL, line="POST /v1/chat/completions HTTP/1.10"),
    "two blanks in the line": head(*USUAL, line="POST  /v1/chat/completions HTTP/1.1"),
    "blank after the version": head(*USUAL, line=LINE + " "),
    "line end before": b"\r\n" + usual(),
    "line that ends in LF": usual().replace(b"1.1\r\n", b"1.1\n"),
    "line without an end": usual().replace(b"1.1\r\n", b"1.1  "),
    "nothing": b"",
    "no header": head(),
    "no Host": head("Content-Type: text/plain", "Content-Length: 5"),
    "two Hosts": usual("Host: other"),
    "two Hosts in other cases": usual("hOST: test"),
    "no length": head("Host: test", "Accept: */*"),
    "no length, but in the body": head("Host: test", "Accept: */*") + b"\nContent-Length: 5\r\n\r\n",
    "no length, but at the end of the body": head("Host: test", "Accept: */*") + b"\nContent-Length: 55",
    "only one like a length": head("Host: test", "X-Content-Length: 5"),
    "one like a length before it": head("X-Content-Length: 7", "Host: test", "Content-Length : 5"),
    "length in capitals": length_of("CONTENT-LENGTH: 5"),
    "length without a blank": length_of("Content-Length:5"),
    "two lengths": usual("Content-Length: 6"),
    "two equal lengths": usual("Content-Length: 5"),
    "two lengths in other cases": usual("content-length: 6"),
    "two lengths in other cases, lower first": head("content-length: 6", *USUAL),
    "two lengths, one in capitals": usual("CONTENT-LENGTH: 6"),
    "two lengths, one without a blank": usual("Content-Length:6"),
    "two lengths, one without a blank, first": head("Content-Length:6", *USUAL),
    "two lengths, one with a tab": usual("Content-Length:\t6"),
    "empty length": length_of("Content-Length: "),
    "empty length and another": length_of("Content-Length: ", "content-length: 5"),
    "no length after the colon": length_of("Content-Length:"),
    "plus": length_of("Content-Length: +5"),
    "minus": length_of("Content-Length: -5"),
    "blank before": length_of("Content-Length:  5"),
    "blank after": length_of("Content-Length: 5 "),
    "tab after": length_of("Content-Length: 5\t"),
    "underscore": length_of("Content-Length: 1_0"),
    "hexadecimal": length_of("Content-Length: 0x5"),
    "exponent": length_of("Content-Length: 1e1"),
    "list of lengths": length_of("Content-Length: 5, 5"),
    "digits of another script": length_of("Content-Length: \u0665"),
    "superscript": length_of("Content-Length: \u00b2"),
    "superscript in Latin-1": length_of("Content-Length: \udcb2"),
    "ten digits": length_of("Content-Length: 1000000000"),
    "ten digits, most of them zero": length_of("Content-Length: 0000000005"),
    "length on the next line": length_of("Content-Length: \r\n 5"),
    "Transfer-Encoding": odd("Transfer-Encoding: chunked"),
    "Transfer-Encoding that says nothing": odd("Transfer-Encoding:"),
    "transfer-encoding": odd("transfer-encoding: identity"),
    "Expect": odd("Expect: 100-continue"),
    "Upgrade": odd("Upgrade: h2c"),
    "TE": odd("TE: trailers"),
    "Trailer": odd("Trailer: X"),
    "Content-Encoding": odd("Content-Encoding: gzip"),
    "Content-Encoding that changes nothing": odd("content-encoding: identity"),
    "Connection: close": odd("Connection: close"),
    "Connection: upgrade": odd("Connection: Upgrade"),
    "Connection of more": odd("Connection: keep-alive, close"),
    "Connection of nothing": odd("Connection:"),
    "another that is said to be the connection's": odd("Connection: keep-alive, X"),
    "same header twice": usual("X: a", "X: a"),
    "same header twice in other cases": usual("X-Own: a", "x-oWN: b"),
    "folded line": odd("X: a\r\n b"),
    "folded line with a tab": odd("X: a\r\n\tb"),
    "folded first line": head(" X: a", *USUAL),
    "line that ends in LF only": odd("X: a\nY: b"),
    "line that ends in CR only": odd("X: a\rY: b"),
    "length after a bare LF": head("Host: test", "X: a\nContent-Length: 5"),
    "NUL in a value": odd("X: a\0b"),
    "NUL in a name": odd("X\0: a"),
    "control byte in a value": odd("X: a\x1fb"),
    "DEL in a value": odd("X: a\x7fb"),
    "vertical tab around a value": odd("X: \va"),
    "no ASCII in a value": odd("X: ä"),
    "no ASCII in a name": odd("Ä: a"),
    "no UTF-8 in a value": odd("X: \udcff"),
    "no colon": odd("X"),
    "only blanks": odd("  "),
    "empty name": odd(": a"),
    "blank before the colon": odd("X : a"),
    "blank in a name": odd("X Y: a"),
    "tab before the colon": odd("X\t: a"),
    "brackets in a name": odd("(X): a"),
    "65 headers": usual(*(f"X{number}: a" for number in range(62))),
    "value of 5,000 bytes": usual("X: " + "x" * 5000),
    "name of 201 bytes": usual("x" * 201 + ": a"),
    "not whole": usual()[:-1],
    "not whole by a line end": usual()[:-2],
    "not whole in the length": usual()[:-4],
}


@pytest.mark.parametrize("data", DECLINED.values(), ids=DECLINED)
def test_what_is_odd_in_any_way_is_declined_and_leaves_no_trace(data):
    heads = Heads()
    for well in (*map(usual, ("X: a", "X-Own: a", "Accept: */*")), length_of("Content-Length: 5")):
        assert heads.read(well)
    known = dict(heads._known)
    for rest in (b"", b"hello") * 2:
        assert heads.read(data + rest) is None
    assert heads._known == known


UNLIKE = {
    "Proxy-Connection: close": "aiohttp hangs up after it",
    "Proxy-Connection: keep-alive, close": "aiohttp hangs up after it",
    "Sec-WebSocket-Key1: 1 2": "aiohttp refuses it",
}


@pytest.mark.parametrize("line", UNLIKE)
def test_what_aiohttp_treats_in_its_own_way_is_left_to_it(line):
    assert theirs(odd(line), 5) is None
    assert Heads().read(odd(line)) is None


def test_every_beginning_of_a_head_is_declined():
    data = usual("X: a")
    for end in range(len(data)):
        assert Heads().read(data[:end]) is None


# The table of known heads.


def test_heads_that_differ_in_the_length_only_are_one():
    heads = Heads()
    found = [heads.read(length_of(f"Content-Length: {n}")) for n in (5, 0, 7, 123456789, "000000005")]
    assert [length for _, _, length in found] == [5, 0, 7, 123456789, 5]
    assert [begin - found[0][1] for _, begin, _ in found] == [0, 0, 0, 8, 8]
    assert {id(headers) for headers, _, _ in found} == {id(found[0][0])}
    assert len(heads._known) == 1


def test_the_table_is_bounded_in_heads():
    heads = Heads()
    for number in range(MAX_HEADS):
        heads.read(usual(f"X: {number}"))
    assert len(heads._known) == MAX_HEADS
    for number in range(3 * MAX_HEADS // 2):
        headers, _, _ = heads.read(usual(f"Y: {number}"))
        assert headers["Y"] == str(number)
        assert len(heads._known) <= MAX_HEADS


def test_the_table_is_bounded_in_bytes():
    heads = Heads()
    short = len(usual("X: ", "Y: ")) - 1  # its digit is not kept
    for size, kept in ((LONGEST_KEPT - short, 1), (LONGEST_KEPT - short + 1, 0)):
        heads._known.clear()
        data = usual("X: " + "x" * (size - 3000), "Y: " + "y" * 3000)
        first, second = heads.read(data), heads.read(data)
        assert (first == second, first[0] is second[0]) == (True, kept == 1)
        assert (len(heads._known), sum(map(len, heads._known))) == (kept, kept * LONGEST_KEPT)


def test_heads_that_differ_in_anything_else_are_never_one():
    """Every byte of a known head is changed, dropped and doubled."""
    known = usual("X: 5", "Y: b")
    heads = Heads()
    first, _, _ = heads.read(known)
    digit = known.index(b": 5\r\n") + 2
    read = 0
    for at in range(len(known)):
        for piece in (b"", known[at : at + 1] * 2, *(bytes([other]) for other in b"7z: \r\n\t\0\xff")):
            other = known[:at] + piece + known[at + 1 :]
            found = heads.read(other)
            assert found == Heads().read(other), other
            if found is not None and at != digit:
                read += 1
                assert (found[0] is first) == other.startswith(known), other
    assert read > 50


PAIRS = {
    "the digits are elsewhere": (
        head("Host: a", "Content-Length: 5", "X: "),
        head("Host: a", "Content-Length: ", "X: 5"),
    ),
    "what is left is sent": (length_of("Content-Length: 5"), length_of("Content-Length: ")),
    "what is left of two is sent": (
        head("Host: a", "Content-Length: 5", "content-length: "),
        head("Host: a", "Content-Length: ", "content-length: 5"),
    ),
    "the other of two": (
        head("Host: a", "content-length: ", "Content-Length: 5"),
        head("Host: a", "content-length: 5", "Content-Length: "),
    ),
    "a name within a value": (
        head("Host: a", "X: Content-Length: ", "Content-Length: 5"),
        head("Host: a", "X: Content-Length: 5", "Content-Length: "),
    ),
    "signs are no digits": (length_of("Content-Length: 5"), length_of("Content-Length: +5")),
    "blanks are no digits": (length_of("Content-Length: 5"), length_of("Content-Length: 5 ")),
    "a line is no digits": (length_of("Content-Length: 5"), length_of("Content-Length: 5\nX: a")),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_heads_that_are_the_same_bytes_without_some_are_not_taken_for_each_other(pair):
    alone = [Heads().read(data) for data in pair]
    assert alone[1] is None
    for one, other in ((0, 1), (1, 0)):
        heads = Heads()
        assert heads.read(pair[one]) == alone[one]
        assert heads.read(pair[other]) == alone[other]
        assert heads.read(pair[one]) == alone[one]

"""What passes of a request and of its answer, and what is refused: smuggling, injection, tricks."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.forwarding import (
    METHODS,
    Framing,
    RefusedAnswer,
    RefusedRequest,
    RequestOrigin,
    answer_head,
    framing_of,
    length_of,
    request_bytes,
    request_head,
    retry_after_s,
    target_of,
)

AT = Endpoint("10.0.0.7", 8003)
PLAIN = ServiceSpec(name="conversation-service", instances=(AT,))
BASED = ServiceSpec(name="conversation-service", instances=(AT,), base_path="/api/v1/conversation")
CALLER = RequestOrigin(
    client="192.0.2.1",
    scheme="https",
    host=b"parley.example",
    prefix=b"/conversation-service",
    correlation_id="c-1",
    traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
)
PREFIX = CALLER.prefix
SAID = [
    (b"x-forwarded-for", b"192.0.2.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"parley.example"),
    (b"x-forwarded-prefix", b"/conversation-service"),
    (b"x-correlation-id", b"c-1"),
    (b"traceparent", CALLER.traceparent.encode()),
    (b"x-budget-ms", b"1500"),
]


def target(path: bytes, query: bytes = b"", spec: ServiceSpec = PLAIN) -> bytes:
    return target_of(PREFIX + path, query, spec, PREFIX)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (b"/", b"", b"/"),
        (b"/start", b"", b"/start"),
        (b"/a/b/", b"x=1&y=%2F%0d%0a..", b"/a/b/?x=1&y=%2F%0d%0a.."),
        (b"/caf%C3%A9/~x;v=1/a:b@c", b"", b"/caf%C3%A9/~x;v=1/a:b@c"),
        (b"/100%25/...", b"", b"/100%25/..."),
        (b"/.well-known/x", b"", b"/.well-known/x"),
        (b"/http:%3Aevil.example", b"", b"/http:%3Aevil.example"),
    ],
)
def test_a_path_goes_on_byte_by_byte(path: bytes, query: bytes, expected: bytes) -> None:
    assert target(path, query) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/start", b"/api/v1/conversation/start"),
        (b"/", b"/api/v1/conversation/"),
        (b"/api/v1/conversation", b"/api/v1/conversation"),
        (b"/api/v1/conversation/start", b"/api/v1/conversation/start"),
        (b"/api/v1/conversations", b"/api/v1/conversation/api/v1/conversations"),
    ],
)
def test_a_path_is_below_the_base_path(path: bytes, expected: bytes) -> None:
    assert target(path, spec=BASED) == expected


TRICKS = {
    "up": b"/../admin",
    "up at the end": b"/a/..",
    "here": b"/./a",
    "escaped dots": b"/%2e%2e/admin",
    "half escaped": b"/.%2E/admin",
    "escaped twice": b"/%252e%252e/admin",
    "escaped slash": b"/a%2fb",
    "escaped slash, large": b"/..%2Fadmin",
    "slash escaped twice": b"/a%252Fb",
    "backslash": b"/..\\admin",
    "escaped backslash": b"/a%5cb",
    "backslash escaped twice": b"/a%255cb",
    "parameter of a segment": b"/..;x/admin",
    "escaped parameter": b"/..%3b/admin",
    "another server": b"//evil.example/",
    "empty in between": b"/a//b",
    "NUL": b"/a%00.png",
    "line": b"/a%0d%0aX-Admin:%201",
    "line escaped twice": b"/a%250d%250ab",
    "delete": b"/%7f",
    "no escape": b"/%zz",
    "cut escape": b"/a%2",
    "bytes": b"/caf\xc3\xa9",
    "space": b"/a b",
    "control": b"/a\tb",
}


@pytest.mark.parametrize("trick", [*TRICKS])
@pytest.mark.parametrize("spec", [PLAIN, BASED], ids=["plain", "based"])
def test_a_path_with_two_meanings_goes_nowhere(trick: str, spec: ServiceSpec) -> None:
    with pytest.raises(RefusedRequest):
        target(TRICKS[trick], spec=spec)


@pytest.mark.parametrize(
    "raw", [b"/conversation%2Dservice/a", b"//conversation-service/a", b"/Conversation-service/a"]
)
def test_the_name_of_a_service_is_written_as_it_is(raw: bytes) -> None:
    with pytest.raises(RefusedRequest, match="without escapes"):
        target_of(raw, b"", PLAIN, PREFIX)


@pytest.mark.parametrize("raw", [b"/%761/x/a", b"/x/a", b"//v1/x/a"])
def test_the_version_of_a_path_is_written_as_it_is(raw: bytes) -> None:
    assert target_of(b"/v1/x/a", b"", BASED, b"/v1/x") == b"/api/v1/conversation/a"
    with pytest.raises(RefusedRequest, match="without escapes"):
        target_of(raw, b"", BASED, b"/v1/x")


def test_a_query_is_printable() -> None:
    with pytest.raises(RefusedRequest):
        target(b"/a", b"x=\xff")


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_whatever_the_path_it_stays_below_the_base_path(path: bytes, query: bytes) -> None:
    try:
        found = target(b"/" + path, query, BASED)
    except RefusedRequest:
        return
    assert found.startswith(b"/api/v1/conversation")
    for read in (found, unquote_to_bytes(found), unquote_to_bytes(unquote_to_bytes(found))):
        assert not {b".", b".."} & {*read.split(b"?")[0].split(b"/")}


def head_for(
    headers: list[tuple[bytes, bytes]],
    method: str = "GET",
    framing: Framing | None = None,
    origin: RequestOrigin = CALLER,
) -> list[tuple[bytes, bytes]]:
    framing = framing or Framing()
    return request_head(headers, method, framing, origin, AT, 1500)


def test_a_service_is_told_who_asks_and_under_which_name() -> None:
    sent = [
        (b"host", b"parley.example"),
        (b"accept", b"text/html"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    ]
    assert head_for(sent) == [
        (b"host", b"10.0.0.7:8003"),
        (b"accept", b"text/html"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        *SAID,
    ]


def test_what_is_about_one_connection_goes_no_further() -> None:
    sent = [
        (b"connection", b"keep-alive, X-Internal"),
        (b"connection", b"TE"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"trailer", b"x-sum"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAMAAABkAAQAoAAAAAIAAAAA"),
        (b"proxy-authorization", b"Basic x"),
        (b"proxy-connection", b"keep-alive"),
        (b"x-internal", b"1"),
        (b"expect", b"100-continue"),
        (b"x-kept", b"1"),
    ]
    kept = [line for line in head_for(sent)[1:] if line not in SAID]
    assert kept == [(b"http2-settings", b"AAMAAABkAAQAoAAAAAIAAAAA"), (b"x-kept", b"1")]


@pytest.mark.parametrize(
    "name",
    [
        b"x-forwarded-for",
        b"x_forwarded_for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-prefix",
        b"forwarded",
        b"x-real-ip",
        b"x_real_ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-correlation-id",
        b"traceparent",
        b"x-budget-ms",
        b"host",
        b"content_length",
        b"transfer_encoding",
    ],
)
def test_a_client_cannot_say_what_the_gateway_says(name: bytes) -> None:
    assert head_for([(name, b"evil")])[1:] == SAID


def test_connection_cannot_take_away_what_the_gateway_says() -> None:
    found = head_for([(b"connection", b"x-forwarded-for, x-correlation-id, host")])
    assert found == [(b"host", b"10.0.0.7:8003"), *SAID]


def test_the_gateways_own_credentials_stay_here() -> None:
    origin = RequestOrigin(
        client="",
        scheme="http",
        host=b"",
        prefix=b"/v1/conversation-service",
        correlation_id="c",
        traceparent="t",
        tracestate=(b"a=1",),
        hidden=frozenset({b"x-api-key"}),
    )
    sent = [
        (b"x-api-key", b"parley-key"),
        (b"authorization", b"Bearer of-the-service"),
        (b"cookie", b"parley_pass=ps_secret; theme=dark"),
        (b"cookie", b"parley_pass=ps_secret"),
    ]
    assert head_for(sent, origin=origin) == [
        (b"host", b"10.0.0.7:8003"),
        (b"authorization", b"Bearer of-the-service"),
        (b"cookie", b"theme=dark"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-prefix", b"/v1/conversation-service"),
        (b"x-correlation-id", b"c"),
        (b"traceparent", b"t"),
        (b"tracestate", b"a=1"),
        (b"x-budget-ms", b"1500"),
    ]


@pytest.mark.parametrize(
    ("method", "framing", "expected"),
    [
        ("GET", Framing(), []),
        ("DELETE", Framing(), []),
        ("POST", Framing(), [(b"content-length", b"0")]),
        ("POST", Framing(5), [(b"content-length", b"5")]),
        ("GET", Framing(0), [(b"content-length", b"0")]),
        ("PUT", Framing(chunked=True), [(b"transfer-encoding", b"chunked")]),
    ],
)
def test_the_length_of_a_body_is_told_anew(
    method: str, framing: Framing, expected: list[tuple[bytes, bytes]]
) -> None:
    sent = [(b"content-length", b"99"), (b"transfer-encoding", b"chunked")]
    found = head_for(sent, method, framing)
    assert [line for line in found[1:] if line not in SAID] == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Framing()),
        ([(b"content-length", b"12")], Framing(12)),
        ([(b"transfer-encoding", b"Chunked")], Framing(chunked=True)),
    ],
)
def test_the_length_of_a_body_is_read(
    headers: list[tuple[bytes, bytes]], expected: Framing
) -> None:
    assert framing_of(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"9" * 19)],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"\x0bchunked")],
    ],
    ids=["both", "two", "sign", "list", "huge", "coding", "codings", "obscured"],
)
def test_a_body_of_two_lengths_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RefusedRequest):
        framing_of(headers)


BAD_LINES = {
    "line in a value": (b"x-a", b"1\r\nx-admin: 1"),
    "line feed": (b"x-a", b"1\nx-admin: 1"),
    "NUL": (b"x-a", b"1\x00"),
    "name with a space": (b"x a", b"1"),
    "name with a colon": (b"x:a", b"1"),
    "empty name": (b"", b"1"),
    "name with a line": (b"x\r\ny", b"1"),
}


@pytest.mark.parametrize("case", [*BAD_LINES])
def test_a_header_line_is_one_line_in_both_directions(case: str) -> None:
    with pytest.raises(RefusedRequest):
        head_for([BAD_LINES[case]])
    with pytest.raises(RefusedAnswer):
        answer_head([BAD_LINES[case]], "GET", 200, AT, PREFIX)


def answered(
    headers: list[tuple[bytes, bytes]], method: str = "GET", status: int = 200
) -> list[tuple[bytes, bytes]]:
    return answer_head(headers, method, status, AT, PREFIX)


def test_an_answer_comes_back_without_what_the_gateway_says_itself() -> None:
    found = answered(
        [
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", b"5"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
            (b"Date", b"now"),
            (b"Server", b"uvicorn"),
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"X-Correlation-ID", b"theirs"),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Access-Control-Allow-Credentials", b"true"),
        ]
    )
    assert found == [
        (b"content-type", b"text/plain"),
        (b"content-length", b"5"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("GET", 200, [(b"content-length", b"5")], 5),
        ("HEAD", 200, [(b"content-length", b"5")], 5),
        ("GET", 304, [(b"content-length", b"5")], None),
        ("GET", 204, [(b"content-length", b"0")], None),
        ("GET", 200, [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], None),
    ],
)
def test_a_length_comes_back_only_where_it_holds(
    method: str, status: int, headers: list[tuple[bytes, bytes]], expected: int | None
) -> None:
    assert length_of(answered(headers, method, status)) == expected


@pytest.mark.parametrize("status", [100, 101, 199, 600, 999])
def test_what_is_no_final_answer_does_not_come_back(status: int) -> None:
    with pytest.raises(RefusedAnswer):
        answered([], status=status)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"/login?next=/a", b"/conversation-service/login?next=/a"),
        (b"http://10.0.0.7:8003/a/", b"/conversation-service/a/"),
        (b"http://10.0.0.7:8003", b"/conversation-service/"),
        (b"//10.0.0.7:8003/a", b"/conversation-service/a"),
        (b"http://10.0.0.7:80031/a", b"http://10.0.0.7:80031/a"),
        (b"https://elsewhere.example/a", b"https://elsewhere.example/a"),
        (b"//elsewhere.example/a", b"//elsewhere.example/a"),
        (b"next", b"next"),
        (b"?page=2", b"?page=2"),
    ],
)
def test_a_redirect_within_the_service_leads_through_the_gateway(
    location: bytes, expected: bytes
) -> None:
    assert answered([(b"location", location)], status=307) == [(b"location", expected)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"7", 7.0), (b"0", 0.0), (b"999999999999", 86_400.0), (b"Fri, 31 Dec", 0.0), (b"-1", 0.0)],
)
def test_the_wait_that_a_service_asks_for_is_read(value: bytes, expected: float) -> None:
    assert retry_after_s([(b"Date", b"x"), (b"Retry-After", value)]) == expected
    assert retry_after_s([]) == 0.0


def test_every_method_of_the_seed_is_passed_on() -> None:
    assert {"GET", "POST", "PUT", "DELETE", "PATCH"} <= {*METHODS}


def test_a_request_is_written_line_by_line() -> None:
    head = request_bytes("GET", b"/a?b=c", [(b"host", b"a:1"), (b"x-mine", b"\xe4 b")])
    assert head == b"GET /a?b=c HTTP/1.1\r\nhost: a:1\r\nx-mine: \xe4 b\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (b"/a b", (b"x", b"1")),
        (b"/a\r\nx: 1", (b"x", b"1")),
        (b"/a", (b"x", b"1\r\ny: 2")),
        (b"/a", (b"x", b"1\ny: 2")),
        (b"/a", (b"x", b"1\r")),
        (b"/a", (b"x\r\ny", b"1")),
    ],
)
def test_a_request_that_could_be_two_is_never_written(
    target: bytes, line: tuple[bytes, bytes]
) -> None:
    with pytest.raises(RefusedRequest):
        request_bytes("GET", target, [line])

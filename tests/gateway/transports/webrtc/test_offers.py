"""Strangers' offers: what comes through to the parser, and what does not."""

import pytest

from gateway.transports.webrtc import offers
from gateway.transports.webrtc.offers import OfferError, restart_of, screen, trickled

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
HEAD = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0"]
SECURITY = [
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    f"a=fingerprint:{FINGERPRINT}",
    "a=setup:actpass",
]
HOST = "a=candidate:1 1 udp 2130706431 198.51.100.7 50000 typ host"
AUDIO = [
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sendrecv",
    "a=rtpmap:111 opus/48000/2",
    *SECURITY,
]
DATA = [
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:1",
    "a=sctp-port:5000",
    *SECURITY,
]


def sdp(*parts: list[str]) -> str:
    return "\r\n".join([line for part in parts for line in part] + [""])


def candidates(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("a=candidate:")]


def test_an_honest_offer_comes_through_as_it_is() -> None:
    text = sdp(HEAD[:-1], ["a=group:BUNDLE 0 1"], AUDIO, [HOST], DATA, [HOST])
    offer = screen(text, public=False)
    assert sorted(offer.sdp.splitlines()) == sorted(text.splitlines())
    assert (offer.mid, offer.ufrag, offer.has_channel) == ("0", "abcd", True)


def candidate(host: str = "198.51.100.7", port: int = 50000, transport: str = "udp") -> str:
    return f"a=candidate:1 1 {transport} 2130706431 {host} {port} typ host"


@pytest.mark.parametrize(
    ("line", "private", "public"),
    [
        (candidate("8.8.8.8"), True, True),
        (candidate("2606:4700::1111"), True, True),
        (candidate("192.168.1.7"), True, False),
        (candidate("127.0.0.1"), True, False),
        (candidate("fd00::1"), True, False),
        (candidate("fe80::1"), False, False),
        (candidate("169.254.169.254"), False, False),
        (candidate("8.8.8.8", port=53), False, False),
        (candidate("8.8.8.8", port=1023), False, False),
        (candidate("8.8.8.8", port=65536), False, False),
        (candidate("8.8.8.8", transport="tcp"), False, False),
        (candidate("224.0.0.251"), False, False),
        (candidate("255.255.255.255"), False, False),
        (candidate("0.0.0.0"), False, False),
        (candidate("internal.example.org"), False, False),
        (candidate("4f3a2b1c-0000.local"), False, False),
        ("a=candidate:1 1 udp nonsense", False, False),
    ],
)
def test_where_packets_may_be_sent(line: str, private: bool, public: bool) -> None:
    for is_public, expected in ((False, private), (True, public)):
        left = candidates(screen(sdp(HEAD, AUDIO, [line]), public=is_public).sdp)
        assert left == ([line] if expected else [offers.PLACEHOLDER])


def test_only_so_many_candidates_are_tried() -> None:
    many = [candidate(port=50000 + n) for n in range(40)]
    offer = screen(sdp(HEAD, AUDIO, many), public=False)
    assert candidates(offer.sdp) == many[: offers.MOST_CANDIDATES]


def test_the_end_of_candidates_counts_only_behind_one_of_use() -> None:
    end = ["a=end-of-candidates"]
    assert end[0] in screen(sdp(HEAD, AUDIO, [HOST], end), public=False).sdp.splitlines()
    useless = sdp(HEAD, AUDIO, [candidate("x.local")], end)
    assert end[0] not in screen(useless, public=False).sdp.splitlines()


def without(lines: list[str], start: str) -> list[str]:
    return [line for line in lines if not line.startswith(start)]


VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:2", *SECURITY]


@pytest.mark.parametrize(
    ("text", "reason", "unusable"),
    [
        ("", "an SDP begins with v=0", False),
        ("hello", "a line of the SDP is not one", False),
        (sdp(HEAD), "the offer has no media", False),
        (sdp(HEAD, DATA), "the offer has no audio", True),
        (sdp(HEAD, AUDIO, AUDIO), "at most 1 audio sections are answered", True),
        (
            sdp(HEAD, AUDIO, DATA, VIDEO, VIDEO, VIDEO),
            "at most 4 media sections are answered",
            True,
        ),
        (sdp(HEAD, without(AUDIO, "a=rtpmap")), "the audio must be Opus", True),
        (sdp(HEAD, AUDIO, ["a=inactive"]), "the audio is inactive", True),
        (sdp(HEAD, without(AUDIO, "a=ice-pwd")), "a media section has no ice-pwd", False),
        (sdp(HEAD, without(AUDIO, "a=fing")), "a media section has no fingerprint", False),
        (sdp(HEAD, AUDIO, ["a=setup:holdconn"]), "setup has an impossible value", False),
        (sdp(HEAD, without(AUDIO, "a=mid")), "each media section needs a mid of its own", False),
        (sdp(HEAD, AUDIO, without(DATA, "a=mid"), ["a=mid:0"]), "each media section", False),
        (sdp(HEAD, ["a=group:BUNDLE 7"], AUDIO), "the bundle names what is not", False),
        (sdp(HEAD[:-1], ["a=group:BUNDLE 7"], AUDIO), "the bundle names what is not", False),
        (sdp(HEAD, ["m=text 9 RTP/AVP 98"]), "neither audio, video nor data", False),
        (sdp(HEAD, AUDIO, ["a=x:\x00"]), "a line of the SDP is not one", False),
        (sdp(HEAD, AUDIO, ["a=" + "x" * 2000]), "a line of the SDP is not one", False),
        (sdp(HEAD, AUDIO, ["a=x"] * 1000), "more than 600 lines", False),
        (sdp(HEAD, AUDIO, ["a=" + "x" * 900] * 20), "longer than 16384 bytes", False),
    ],
)
def test_what_is_refused_and_why(text: str, reason: str, unusable: bool) -> None:
    with pytest.raises(OfferError, match=reason) as refused:
        screen(text, public=False)
    assert refused.value.unusable is unusable


def test_candidates_trickle_in_through_the_same_sieve() -> None:
    fragment = sdp(
        ["a=ice-ufrag:abcd", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"],
        [HOST, candidate(port=22), candidate("x.local")],
    )
    assert trickled(fragment, ufrag="abcd", public=False) == [HOST.removeprefix("a=candidate:")]
    with pytest.raises(OfferError, match="restarted") as refused:
        trickled(fragment, ufrag="efgh", public=False)
    assert refused.value.unusable


PASSWORD = "abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    ("fragment", "wanted"),
    [
        ("a=candidate:1 1 udp 1 198.51.100.7 50000 typ host\r\n", None),
        (f"a=ice-ufrag:abcd\r\na=ice-pwd:{PASSWORD}\r\n", None),
        (f"a=ice-ufrag:efgh\r\na=ice-pwd:{PASSWORD}\r\n", ("efgh", PASSWORD)),
        (f"a=ice-ufrag:efgh\r\na=ice-pwd:{PASSWORD}\r\n" * 2, ("efgh", PASSWORD)),
    ],
    ids=["candidates", "the same", "new", "new in each section"],
)
def test_new_credentials_restart_ice(fragment: str, wanted: tuple[str, str] | None) -> None:
    assert restart_of(fragment, ufrag="abcd") == wanted


@pytest.mark.parametrize(
    "fragment",
    [
        "a=ice-ufrag:efgh\r\n",
        f"a=ice-ufrag:efgh\r\na=ice-ufrag:ijkl\r\na=ice-pwd:{PASSWORD}\r\n",
        "a=ice-ufrag:e\r\n",
        "nothing",
    ],
    ids=["no password", "two names", "short", "no fragment"],
)
def test_a_restart_without_one_pair_of_credentials_is_refused(fragment: str) -> None:
    with pytest.raises(OfferError):
        restart_of(fragment, ufrag="abcd")

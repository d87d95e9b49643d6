"""Video in codecs that the gateway does not know: the call is held without it."""

import pytest

from gateway.transports.webrtc.offers import PLACEHOLDER, Offer, screen
from gateway.transports.webrtc.rejected import mids_of, with_rejected, without
from tests.gateway.transports.webrtc.test_offers import AUDIO, DATA, HEAD, HOST, SECURITY, sdp
from tests.support.webrtc import Browser, Doorway

VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 45", "a=mid:v", "a=rtpmap:45 AV1/90000", *SECURITY]


def test_a_rejected_section_keeps_its_place_and_leaves_the_bundle() -> None:
    offer = screen(sdp(HEAD[:-1], ["a=group:BUNDLE v 0 1"], VIDEO, AUDIO, DATA), public=False)
    assert offer.mid == "v"
    left, rejected = without(offer, ["v"])
    assert (left.mid, "m=video" in left.sdp) == ("0", False)
    assert "a=group:BUNDLE 0 1\r\n" in left.sdp
    answer = with_rejected(left.sdp, rejected).splitlines()
    sections = [line for line in answer if line.startswith("m=")]
    assert sections[0] == "m=video 0 UDP/TLS/RTP/SAVPF 45"
    assert [line[:7] for line in sections] == ["m=video", "m=audio", "m=appli"]


def test_an_offer_without_such_a_section_stays_as_it_is() -> None:
    offer = screen(sdp(HEAD, AUDIO), public=False)
    assert without(offer, ["v"]) == (offer, [])
    assert with_rejected("v=0\n", []) == "v=0\n"


def with_video(offer: str, *codec: str) -> str:
    """The offer of a browser that wants video, too, in this codec."""
    head, _, sections = offer.partition("m=")
    head = head.replace("a=group:BUNDLE", "a=group:BUNDLE v")
    needed = ("a=ice-", "a=fingerprint:sha-256", "a=setup:")
    credentials = [line for line in sections.split("m=")[0].splitlines() if line.startswith(needed)]
    own = ["m=video 9 UDP/TLS/RTP/SAVPF 45", "c=IN IP4 0.0.0.0", "a=mid:v", "a=recvonly"]
    video = "\r\n".join([*own, "a=rtcp-mux", *credentials, *codec, ""])
    return f"{head}{video}m={sections}"


def without_video(answer: str) -> str:
    """What aiortc, which plays the browser, can read of the answer: no rejected section."""
    head, rejected, rest = answer.partition("m=video 0 UDP/TLS/RTP/SAVPF 45\r\n")
    assert rejected, answer
    return head + rest[rest.index("m=") :]


@pytest.mark.parametrize(
    "codec",
    [
        ["a=rtpmap:45 AV1/90000"],
        ["a=rtpmap:45 H265/90000"],
        ["a=rtpmap:45 VP9/90000", "a=fmtp:45 profile-id=0"],
        ["a=rtpmap:45 H264/90000", "a=fmtp:45 packetization-mode=0;profile-level-id=42e01f"],
        ["a=rtpmap:45 H264/90000", "a=fmtp:45 packetization-mode=1;profile-level-id=640c1f"],
        ["a=rtpmap:45 H264/90000", "a=fmtp:45 packetization-mode=1;profile-level-id=xyz"],
        [],
    ],
    ids=["AV1", "H.265", "VP9", "H.264 mode 0", "H.264 high", "H.264 odd", "no codec"],
)
def test_a_call_is_held_without_video_that_cannot_be_sent(
    doorway: Doorway, codec: list[str]
) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        browser.conceal = lambda offer: with_video(offer, *codec)
        browser.reveal = without_video
        await browser.connect()
        try:
            assert (await browser.until("reply.started"))["turn"] == 0
        finally:
            await browser.close()

    doorway.run(story)


def test_sections_of_video_behind_the_first_are_spare() -> None:
    sections = [
        ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"],
        ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1"],
        ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:2"],
        ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:3"],
    ]
    lines = ["v=0", *(line for section in sections for line in section), ""]
    offer = Offer("\r\n".join(lines), "0", "abcd", True)
    assert mids_of(offer, "video") == ["1", "2"]
    left, rejected = without(offer, ["2"])
    assert mids_of(left, "video") == ["1"]
    assert [one.at for one in rejected] == [2]


def test_candidates_that_a_rejected_section_had_for_the_bundle_are_kept() -> None:
    """A bundle has one transport, and an encoder may name its candidates in the first section."""
    offer = screen(sdp(HEAD[:-1], ["a=group:BUNDLE v 0"], [*VIDEO, HOST], AUDIO), public=False)
    left, _ = without(offer, ["v"])
    candidates = [line for line in left.sdp.splitlines() if line.startswith("a=candidate:")]
    assert (left.mid, candidates) == ("0", [PLACEHOLDER, HOST])
    apart = screen(sdp(HEAD[:-1], [*VIDEO, HOST], AUDIO), public=False)
    assert HOST not in without(apart, ["v"])[0].sdp

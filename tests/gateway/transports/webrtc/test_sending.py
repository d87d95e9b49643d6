"""Reply audio on its way out: packet times, timestamps and marker bits, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aiortc import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSender,
)
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtp import HeaderExtensionsMap, RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from gateway.transports.webrtc.jitter import MediaPacket
from gateway.transports.webrtc.opus import FRAME, PacketDecoder
from gateway.transports.webrtc.sending import MOST_WAITING, TAIL, Transmission
from pipeline.frames import ReplyAudio
from pipeline.testing import run_virtual

CODEC = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48000, channels=2, payloadType=111)
SPEECH = (6000 * np.sin(2 * np.pi * np.arange(FRAME) / 120)).astype(np.int16)
SPEECH_FRAME = ReplyAudio(3, SPEECH, 400)


class Line:
    """In place of a DTLS transport: notes what is sent and when."""

    state = "connected"
    _stats_id = "line"

    def __init__(self) -> None:
        self.sent: list[tuple[float, RtpPacket]] = []
        self.broken: type[Exception] | None = None
        self.extensions = HeaderExtensionsMap()

    async def _send_rtp(self, data: bytes) -> None:
        if self.broken:
            raise self.broken
        now = asyncio.get_running_loop().time()
        self.sent.append((now, RtpPacket.parse(data, self.extensions)))


def sending(story: Callable[[Line, Transmission], Awaitable[None]]) -> Line:
    """Run a story beside aiortc's sender with our loop in it."""

    async def main() -> Line:
        line = Line()
        sender: Any = RTCRtpSender("audio", line)  # type: ignore[arg-type]
        transmission = Transmission(sender)
        running = asyncio.create_task(sender._run_rtp(CODEC))
        await asyncio.sleep(0)
        await story(line, transmission)
        running.cancel()
        await asyncio.wait([running])
        assert sender._RTCRtpSender__rtp_exited.is_set()
        assert sender._RTCRtpSender__packet_count == len(line.sent) == transmission.packets
        return line

    return run_virtual(main())


def test_frames_leave_every_20_ms_however_early_they_come() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        await asyncio.sleep(0.1)
        for _ in range(10):
            transmission.push(SPEECH_FRAME)
        await asyncio.sleep(0.19)
        assert transmission.waiting == 0

    line = sending(story)
    times = [round(at - line.sent[0][0], 6) for at, _ in line.sent]
    assert times == [round(n * 0.02, 6) for n in range(10)]
    stamps = [packet.timestamp for _, packet in line.sent]
    assert [b - a & 0xFFFFFFFF for a, b in pairwise(stamps)] == [960] * 9
    assert [packet.marker for _, packet in line.sent] == [1] + [0] * 9


def test_each_stretch_of_talk_begins_with_a_marker_and_ends_in_quiet() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        for _ in range(2):
            transmission.push(SPEECH_FRAME)
            await asyncio.sleep(3.0)

    line = sending(story)
    marked = [(at, packet) for at, packet in line.sent if packet.marker]
    assert len(marked) == 2
    (first_at, first), (second_at, second) = marked
    assert second_at - first_at == pytest.approx(3.0)
    assert second.timestamp - first.timestamp & 0xFFFFFFFF == pytest.approx(3.0 * 48_000, abs=2)
    between = [at for at, _ in line.sent if first_at < at < second_at]
    assert between[:TAIL] == pytest.approx([first_at + 0.02 * n for n in range(1, TAIL + 1)])
    pauses = np.diff(between[TAIL - 1 :])
    assert pauses == pytest.approx([0.42] * len(pauses))


def test_what_is_flushed_is_never_sent() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        for _ in range(10):
            transmission.push(SPEECH_FRAME)
        await asyncio.sleep(0.05)
        transmission.flush()
        before = len(line.sent)
        await asyncio.sleep(0.2)
        after = [packet for _, packet in line.sent[before:]]
        assert before == 3
        assert len(after) == TAIL
        decoder = PacketDecoder()
        heard = [decoder.decode([MediaPacket(packet.payload)]) for _, packet in line.sent]
        peaks = [int(np.abs(pcm).max()) for pcm in heard]
        assert min(peaks[1:before]) > 3000
        assert max(peaks[before + 2 :]) < 100, "the codec rings for two frames"

    sending(story)


def test_the_cursor_follows_what_is_played_and_stops_with_it() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        now = asyncio.get_running_loop().time
        assert transmission.cursor(now()) is None
        for at_ms in range(0, 200, 20):
            transmission.push(ReplyAudio(3, SPEECH, at_ms))
        await asyncio.sleep(0.05)
        turn, at_ms = transmission.cursor(now()) or (-1, -1.0)
        assert (turn, at_ms) == (3, pytest.approx(50))
        transmission.flush()
        assert transmission.cursor(now()) is None
        transmission.push(ReplyAudio(4, SPEECH, 0))
        await asyncio.sleep(0.15)
        assert transmission.cursor(now()) is None, "it has run dry"

    sending(story)


def test_each_stretch_of_a_reply_is_told_with_its_timestamp() -> None:
    async def main() -> tuple[Line, list[tuple[int, int, int]]]:
        line, told = Line(), []
        sender: Any = RTCRtpSender("audio", line)  # type: ignore[arg-type]

        def began(frame: ReplyAudio, timestamp: int) -> None:
            told.append((frame.turn, frame.at_ms, timestamp))

        transmission = Transmission(sender, began)
        running = asyncio.create_task(sender._run_rtp(CODEC))
        for turn, at_ms in ((3, 0), (3, 20), (4, 0)):  # the next one at once
            transmission.push(ReplyAudio(turn, SPEECH, at_ms))
        await asyncio.sleep(0.5)
        transmission.push(ReplyAudio(4, SPEECH, 20))  # it had run dry
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait([running])
        return line, told

    line, told = run_virtual(main())
    assert [(turn, at_ms) for turn, at_ms, _ in told] == [(3, 0), (4, 0), (4, 20)]
    stamps = [packet.timestamp for _, packet in line.sent]
    first, second, third = (stamps.index(timestamp) for *_, timestamp in told)
    assert (first, second) == (0, 2)
    assert third == max(n for n, (_, packet) in enumerate(line.sent) if packet.marker)


def stalled(for_s: float) -> Line:
    """Stand still in the middle of a reply of ten frames, after the third."""

    async def story(line: Line, transmission: Transmission) -> None:
        loop: Any = asyncio.get_running_loop()
        for at_ms in range(0, 200, 20):
            transmission.push(ReplyAudio(3, SPEECH, at_ms))
        await asyncio.sleep(0.05)
        loop._jumping.now += for_s
        await asyncio.sleep(0.16)

    return sending(story)


def test_a_packet_that_leaves_late_does_not_delay_those_after_it() -> None:
    line = stalled(for_s=0.05)
    times = [round(at - line.sent[0][0], 6) for at, _ in line.sent[:10]]
    assert times == [0.0, 0.02, 0.04, 0.1, 0.1, 0.1, 0.12, 0.14, 0.16, 0.18]
    stamps = [packet.timestamp for _, packet in line.sent[:10]]
    assert [b - a & 0xFFFFFFFF for a, b in pairwise(stamps)] == [960] * 9


def test_what_was_missed_while_all_stood_still_is_not_sent_in_a_burst() -> None:
    line = stalled(for_s=2.0)
    times = [at - line.sent[0][0] for at, _ in line.sent[:10]]
    assert np.diff(times) == pytest.approx([0.02, 0.02, 2.01, *[0.02] * 6])
    stamps = [packet.timestamp for _, packet in line.sent[:10]]
    gaps = [b - a & 0xFFFFFFFF for a, b in pairwise(stamps)]
    assert gaps == [960, 960, round(2.01 * 48_000), *[960] * 6]
    assert [packet.marker for _, packet in line.sent[:10]] == [1, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_talk_is_protected_where_the_peer_reports_loss_and_only_there() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        sender = transmission._port._inside
        for lost in (0, 26, 0):
            report = RtcpReceiverInfo(sender._ssrc, lost, 0, 0, 0, 0, 0)
            await sender._handle_rtcp_packet(RtcpRrPacket(1, [report]))
            for _ in range(20):
                transmission.push(SPEECH_FRAME)
            await asyncio.sleep(1.0)

    line = sending(story)
    begins = [index for index, (_, packet) in enumerate(line.sent) if packet.marker]
    stretches = [[packet for _, packet in line.sent[at : at + 20]] for at in begins]
    silk = [all(packet.payload[0] >> 3 < 16 for packet in stretch) for stretch in stretches]
    assert silk == [False, True, False]


def test_what_waits_is_bounded() -> None:
    async def story(line: Line, transmission: Transmission) -> None:
        for _ in range(1000):
            transmission.push(SPEECH_FRAME)
        assert transmission.waiting == MOST_WAITING

    sending(story)


def broken(error: type[Exception]) -> list[str]:
    """Run into an error of the line's; what was told of it."""

    async def main() -> list[str]:
        line = Line()
        sender: Any = RTCRtpSender("audio", line)  # type: ignore[arg-type]
        told: list[str] = []
        transmission = Transmission(sender, failed=lambda: told.append("failed"))
        line.broken = error
        transmission.push(SPEECH_FRAME)
        try:
            await sender._run_rtp(CODEC)
        finally:
            assert sender._RTCRtpSender__rtp_exited.is_set()
            transmission.push(SPEECH_FRAME)
            await asyncio.sleep(1.0)
            assert transmission.packets == 0, "nothing is tried any more"
        return told

    return run_virtual(main())


def test_a_line_that_breaks_ends_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    assert broken(ConnectionError) == []
    assert caplog.text == ""


def test_what_else_goes_wrong_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    assert broken(ZeroDivisionError) == ["failed"]
    assert "no audio is sent any more" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_packet_says_which_section_it_belongs_to() -> None:
    async def main() -> None:
        line = Line()
        sender: Any = RTCRtpSender("audio", line)  # type: ignore[arg-type]
        extension = RTCRtpHeaderExtensionParameters(1, "urn:ietf:params:rtp-hdrext:sdes:mid")
        parameters = RTCRtpSendParameters(headerExtensions=[extension])
        sender._RTCRtpSender__rtp_header_extensions_map.configure(parameters)
        line.extensions.configure(parameters)
        sender._RTCRtpSender__mid = "0"
        Transmission(sender).push(SPEECH_FRAME)
        running = asyncio.create_task(sender._run_rtp(CODEC))
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        (_, packet), *_ = line.sent
        assert (packet.extensions.mid, packet.payload_type) == ("0", 111)
        assert packet.ssrc == sender._ssrc

    run_virtual(main())

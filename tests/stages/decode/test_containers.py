"""The container of a file, by its bytes, and whether its end is missing."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages._containers import HEAD_BYTES, Container, is_cut, located, sniff
from stages._frame_chain import FrameLoss, loss_of_frames
from stages._glued import parts, states_length
from stages._lost_sound import LostSound
from stages._matroska_elements import MatroskaLoss, loss_of_matroska
from stages._ogg_pages import OggLoss, loss_of_ogg
from stages._reading_on import breaks
from stages._trailing import sound_end
from tests.support import recordings
from tests.support.examples import examples
from tests.support.paths import AUDIO

MALFORMED = AUDIO / "malformed"
NAMES = ["wav", "flac", "mp3", "ogg-opus", "ogg-vorbis", "webm", "m4a", "aac"]
WITH_AN_END = ["wav", "mp3", "ogg-opus", "ogg-vorbis", "webm", "m4a", "aac"]

TONE = (6000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)


@pytest.fixture(scope="module")
def files() -> dict[str, tuple[Container, bytes]]:
    return {name: (recordings.ENCODINGS[name][0], recordings.encoded(TONE, name)) for name in NAMES}


Files = dict[str, tuple[Container, bytes]]


def cut(container: Container, data: bytes) -> bool:
    return is_cut(io.BytesIO(data), len(data), container)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_is_known_by_its_first_bytes(files: Files, name: str) -> None:
    container, data = files[name]
    assert container == sniff(data[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", None),
        (b"\xff\xfb", None),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"#EXTM3U\nhttp://example.com/a.mp3", None),
        (b"<html><body>", None),
        (b"%PDF-1.7", None),
        (b"PK\x03\x04", None),
        (b"\xff\xff\xff\xff", None),
        (b"\xff\xf1\x7c\x80", None),  # ADTS with an impossible rate
        (b"ID3\x04\0\0\0\0\0\0", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"\0\0\0\x08wide\0\0\0\x08mdat", "mp4"),
        (b"\0\0\x01\0moov", "mp4"),
        (b"I am free now", None),
    ],
)
def test_what_is_no_audio_is_not_taken_for_it(head: bytes, expected: Container | None) -> None:
    assert expected == sniff(head)


@pytest.mark.parametrize(
    ("before", "start"),
    [
        (b"", 0),
        (b"\0" * 9, 9),
        (b"\r\n", 2),
        (b"\xef\xbb\xbf", 3),
        (b"ID3\x04\0\0\0\0\x01\x02" + bytes(130), 140),
        (b"ID3\x04\0\x10\0\0\0\x02" + bytes(12), 22),
        (b"junk", None),
    ],
)
def test_a_recording_is_found_behind_tags_and_padding(
    files: Files, before: bytes, start: int | None
) -> None:
    for name in ("wav", "flac", "ogg-opus"):
        container, data = files[name]
        expected = (0, None) if start is None else (start, container)
        assert located(io.BytesIO(before + data)) == expected


def test_a_box_before_the_first_one_begins_no_second_file(files: Files) -> None:
    data = b"\0\0\0\x08free" + files["m4a"][1]
    assert parts(io.BytesIO(data), len(data), "mp4") == [(0, len(data))]
    assert len(parts(io.BytesIO(data * 2), 2 * len(data), "mp4")) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_not_cut(files: Files, name: str) -> None:
    assert not cut(*files[name])


@pytest.mark.parametrize("name", WITH_AN_END)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_should_go_on_is_cut(files: Files, name: str, share: float) -> None:
    container, data = files[name]
    assert cut(container, data[: int(len(data) * share)])


@pytest.mark.parametrize("name", WITH_AN_END)
def test_a_single_missing_byte_is_seen(files: Files, name: str) -> None:
    container, data = files[name]
    assert cut(container, data[:-1])


def test_a_live_recording_is_cut_only_where_a_block_is() -> None:
    data = recordings.live_webm(TONE)
    ends = [n for n in range(len(data) // 2, len(data)) if not cut("webm", data[:n])]
    assert not cut("webm", data)
    assert 20 < len(ends) < len(data) // 20  # some 50 blocks a second, of some 100 bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data-size-past-end.wav", False),  # as a streaming encoder writes it
        ("data-size-0.wav", True),
        ("truncated-data.wav", True),
        ("truncated-header.wav", True),
        ("riff-size-0.wav", False),
        ("riff-size-past-end.wav", False),
    ],
)
def test_lengths_in_wav_headers_are_read_with_sense(name: str, expected: bool) -> None:
    assert expected == cut("wav", (MALFORMED / name).read_bytes())


@pytest.mark.parametrize(
    ("container", "data", "expected"),
    [
        ("wav", b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 200_000, False),
        ("ogg", b"OggS" + bytes(22) + b"\0" + b"junk" * 10, True),
        ("mp4", b"\0\0\0\x08free\0\0\0\x00mdat1234", False),  # up to the end
        ("mp4", b"\0\0\0\x01mdat" + (20).to_bytes(8) + b"1234", False),
        ("mp4", b"\0\0\0\x01mdat" + (21).to_bytes(8) + b"1234", True),
        ("aac", b"\xff\xf1\x50\x80\x00\xff\xfc" + b"TAG" + bytes(125), False),
        ("webm", bytes.fromhex("1a45dfa380 18538067ff ecff") + bytes(9), False),
    ],
)
def test_odd_ends_are_told_apart(container: Container, data: bytes, expected: bool) -> None:
    assert expected == cut(container, data)


@pytest.mark.parametrize(
    ("tag", "known"),
    [
        (b"", True),
        (recordings.id3v1(), True),
        (recordings.ape(40) + recordings.id3v1(), True),
        (recordings.lyrics() + recordings.id3v1(), True),
        (recordings.tagged(b"", 80), True),
        (b"x" * 80 + b"3DI\x04\0\x10\0\0\0\x46", True),
        (b"la la" + b"000009LYRICS200", False),
        (b"APETAGEX" + bytes(4) + b"\xff" * 20, False),
        (bytes(1000), False),
    ],
    ids=["none", "id3v1", "ape", "lyrics", "id3v2", "footer", "no lyrics", "ape too long", "0"],
)
def test_the_sound_ends_before_the_tags_behind_it(tag: bytes, known: bool) -> None:
    sound = b"\xff\xff\x90\x64" * 100  # frames whose length is not known
    data = sound + tag
    expected = len(sound) if known else len(data)
    for container in ("mp3", "aac", "mp4"):
        assert sound_end(io.BytesIO(data), len(data), container) == expected
    assert sound_end(io.BytesIO(data), len(data), "ogg") == len(data)


def test_padding_is_left_out_beyond_what_a_frame_may_end_with() -> None:
    data = b"\xff\xff\x90\x64" + bytes(5000)
    assert sound_end(io.BytesIO(data), len(data), "mp3") == 4 + 1500
    for filled, end in ((65, 4), (64, 68)):
        data = b"\xff\xff\x90\x64" + b"\xff" * filled
        assert sound_end(io.BytesIO(data), len(data), "mp3") == end


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("ogg-opus", "ogg-opus", 1),
        ("ogg-opus", "ogg-vorbis", 2),
        ("ogg-vorbis", "ogg-opus", 2),
        ("ogg-vorbis", "ogg-vorbis", 2),  # their code books may differ
        ("webm", "webm", 1),
        ("webm", "webm-vorbis", 2),
        ("webm-vorbis", "webm", 2),
    ],
)
def test_a_chain_is_parted_where_another_decoder_is_needed(
    files: Files, first: str, second: str, found: int
) -> None:
    known = {name: data for name, (_, data) in files.items()}
    known["webm-vorbis"] = known["webm"].replace(b"A_OPUS", b"A_XYZW")
    data = known[first] + known[second]
    middle = len(known[first])
    spans = [(0, middle), (middle, len(data))] if found == 2 else [(0, len(data))]
    assert (
        parts(
            io.BytesIO(data),
            len(data),
            files[first.removesuffix("-vorbis")][0] if first.startswith("webm") else "ogg",
        )
        == spans
    )


def test_streams_of_ogg_that_begin_together_are_one_link() -> None:
    def page(flags: int, packet: bytes) -> bytes:
        return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([1, len(packet)]) + packet

    skeleton = page(2, b"fishead\0" + bytes(56))
    opus = page(2, b"OpusHead\1\1" + bytes(9))
    wide = page(2, b"OpusHead\1\2" + bytes(9))
    vorbis = page(2, b"\x01vorbis" + bytes(23))
    sound, last = page(0, b"x" * 99), page(4, b"x")
    one, other = skeleton + opus + vorbis + sound + last, skeleton + wide + sound + last
    for data, starts in (
        (one, [0]),
        (one + one, [0]),
        (one + other, [0, len(one)]),
        (one + skeleton + sound, [0]),
    ):
        assert [start for start, _ in parts(io.BytesIO(data), len(data), "ogg")] == starts


@pytest.mark.parametrize(
    ("tag", "stated"),
    [
        (b"Xing\0\0\0\x0f", True),
        (b"Info\0\0\0\x01", True),
        (b"Info\0\0\0\x02", False),
        (b"VBRI\0\1", True),
        (b"LAME\0\0\0\x0f", False),
    ],
    ids=["xing", "info", "no frames", "vbri", "none"],
)
def test_an_mp3_states_its_length_by_the_tag_in_its_first_frame(tag: bytes, stated: bool) -> None:
    for before in (
        b"",
        recordings.tagged(b""),
        recordings.tagged(b"", 9000) + recordings.tagged(b""),
    ):
        data = before + b"\xff\xfb\x90\x64" + bytes(32) + tag + bytes(300)
        assert states_length(io.BytesIO(data)) is stated


BLANK = {
    "line": b"\n",
    "lines": b"\r\n\r\n",
    "space": b" ",
    "0": b"\0",
    "255": b"\xff",
    "zeros": bytes(4096),
    "flash": b"\xff" * 2000,
    "line-id3v1": b"\n" + recordings.id3v1(),
    "id3v1-line": recordings.id3v1() + b"\n",
}


@pytest.mark.parametrize("end", BLANK.values(), ids=BLANK)
@pytest.mark.parametrize("name", ["mp3", "aac", "ogg-opus", "ogg-vorbis"])
def test_what_fills_up_a_file_is_left_out(files: Files, name: str, end: bytes) -> None:
    container, data = files[name]
    whole = data + end
    assert sound_end(io.BytesIO(whole), len(whole), container) == len(data)
    assert not cut(container, whole)


TRAILS = {
    **{"255": b"\xff", "0": b"\0", "letter": b"x", "255-255": b"\xff\xff", "255-0": b"\xff\0"},
    **{"letters": b"ab", "zeros": bytes(3), "three": b"TAG", "255s": b"\xff\xff\xff"},
}


@pytest.mark.parametrize("end", TRAILS.values(), ids=TRAILS)
@pytest.mark.parametrize("name", [*NAMES, "live"])
def test_a_few_bytes_behind_a_whole_file_do_not_cut_it(files: Files, name: str, end: bytes) -> None:
    container, data = files.get(name) or ("webm", recordings.live_webm(TONE))
    assert not cut(container, data + end)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        *(("mp3", b"\xff\xfb"), ("mp3", b"\xff\xfb\x90"), ("aac", b"\xff\xf1\x50")),
        *(("ogg-opus", b"OggS\0"), ("live", b"\xa3"), ("live", b"\xa3\x81"), ("live", b"\x1f\x43")),
    ],
    ids=["mp3-2", "mp3-3", "aac", "ogg", "live-1", "live-2", "live-cluster"],
)
def test_the_beginning_of_a_frame_is_one_that_was_cut(files: Files, name: str, end: bytes) -> None:
    container, data = files.get(name) or ("webm", recordings.live_webm(TONE))
    assert cut(container, data + end)


def test_bytes_between_frames_are_counted_and_tags_are_not() -> None:
    frame = b"\xff\xfb\x90\x64" + bytes(413)
    junk = (b"\x2a" * 50 + b"\xff\xfb\xb0\x64").ljust(300, b"\x2a")  # what looks like a header, too
    tag = recordings.tagged(b"", 80)
    lyrics = recordings.lyrics() + recordings.id3v1()
    for between, damaged in (
        *((junk, 300), (tag, 0), (tag + junk, 300), (b"", 0)),
        *((bytes(2000), 0), (b"\xff" * 600, 0), (lyrics, 0), (tag + bytes(99), 0)),
    ):
        data = frame * 5 + between + frame * 5
        found = loss_of_frames(io.BytesIO(data), len(data), "mp3")
        assert found == FrameLoss(cut=False, damaged=damaged, whole=10 * len(frame))
        assert loss_of_frames(io.BytesIO(data), len(data) - 9, "mp3").cut
    data = frame * 5 + junk
    assert loss_of_frames(io.BytesIO(data), len(data), "mp3").damaged == 0  # nothing follows


def test_before_the_first_frame_the_rest_of_one_is_no_damage() -> None:
    frame = b"\xff\xfb\x90\x64" + bytes(413)
    for rest, damaged in ((b"\x2a" * 300, 0), (b"\x2a" * 3000, 3000)):
        data = recordings.tagged(b"", 80) + rest + frame * 5
        found = loss_of_frames(io.BytesIO(data), len(data), "mp3")
        assert found == FrameLoss(cut=False, damaged=damaged, whole=5 * len(frame))


def test_a_page_that_is_damaged_is_told_by_the_pages_round_it(files: Files) -> None:
    _, data = files["ogg-opus"]
    pages = [data.index(b"OggS", at) for at in (0, 1, 100)]
    assert loss_of_ogg(io.BytesIO(data), len(data)) == OggLoss(cut=False, lost_s=0.0)
    for start in pages[2], pages[2] + 30:  # its head, its content
        damaged = data[:start] + b"\x2a" * 8 + data[start + 8 :]
        found = loss_of_ogg(io.BytesIO(damaged), len(damaged))
        assert (found.cut, found.lost_s) == (False, pytest.approx(1.0, abs=0.05))
    end = data.rindex(b"OggS")
    assert loss_of_ogg(io.BytesIO(data[:end]), end) == OggLoss(cut=True, lost_s=0.0)
    last = data[: end + 40] + b"\x2a" + data[end + 41 :]
    assert loss_of_ogg(io.BytesIO(last), len(last)) == OggLoss(cut=True, lost_s=0.0)


def test_of_a_broadcast_that_was_joined_later_nothing_is_lost(files: Files) -> None:
    _, data = files["ogg-opus"]
    starts = [found.start() for found in re.finditer(b"OggS", data)]
    assert len(starts) > 3  # two of the header, and two of sound
    joined = data[: starts[2]] + data[starts[3] :]
    assert loss_of_ogg(io.BytesIO(joined), len(joined)) == OggLoss(cut=False, lost_s=0.0)


def test_damage_of_one_track_is_none_of_the_other() -> None:
    data = recordings.tracks("ogg", "libopus", TONE, TONE // 4)
    starts = [found.start() for found in re.finditer(b"OggS", data)]
    streams = [data[start + 14 : start + 18] for start in starts]
    for track in (0, 1):
        place = starts[streams.index(streams[track], 4)] + 40
        damaged = data[:place] + b"\x2a" * 8 + data[place + 8 :]
        lost = [loss_of_ogg(io.BytesIO(damaged), len(damaged), at).lost_s > 0.5 for at in (0, 1)]
        assert lost == [track == 0, track == 1]


def test_bytes_between_two_pages_are_no_lost_sound(files: Files) -> None:
    _, data = files["ogg-vorbis"]
    second = data.rindex(b"OggS")
    inserted = data[:second] + b"OggS or not" * 20 + data[second:]
    assert loss_of_ogg(io.BytesIO(inserted), len(inserted)) == OggLoss(cut=False, lost_s=0.0)


class CountedFile(io.BytesIO):
    """A file that counts the bytes which are read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize(
    "data",
    [
        b"OggS" * 500_000,
        (b"OggS" + bytes(23)) * 80_000,
        b"OggS" + b"\xff" * 2_000_000,
        b"\xff\xfb" * 1_000_000,
        b"\x1f\x43\xb6\x75" * 500_000,
    ],
    ids=["capture patterns", "empty heads", "one page", "MPEG heads", "clusters"],
)
def test_what_only_looks_like_a_page_or_a_frame_is_read_once(data: bytes) -> None:
    looks = (loss_of_ogg, loss_of_matroska, lambda file, size: loss_of_frames(file, size, "mp3"))
    for look in looks:
        file = CountedFile(data)
        look(file, len(data))
        assert file.taken < 1.5 * len(data)


def test_a_live_recording_that_is_broken_goes_on_with_the_next_cluster() -> None:
    data = recordings.live_webm(np.tile(TONE, 6))
    clusters = [found.start() for found in re.finditer(b"\x1f\x43\xb6\x75", data)]
    assert loss_of_matroska(io.BytesIO(data), len(data)) == MatroskaLoss(cut=False)
    place = (clusters[0] + clusters[1]) // 2
    for damaged in (
        data[:place] + b"\x2a" * 200 + data[place + 200 :],
        data[:place] + data[place + 333 :],
    ):
        found = loss_of_matroska(io.BytesIO(damaged), len(damaged))
        [(start, end)] = found.broken
        assert (found.cut, start < place < end) == (False, True)
        assert damaged[end:].startswith(b"\x1f\x43\xb6\x75")
    place = (clusters[-1] + len(data)) // 2
    damaged = data[:place] + b"\x2a" * 200 + data[place + 200 :]
    assert loss_of_matroska(io.BytesIO(damaged), len(damaged)) == MatroskaLoss(cut=True)


@pytest.mark.parametrize("claimed", [30_000, 70_003, 200_003, 500_003])
def test_an_element_that_claims_too_much_hides_no_later_cluster(claimed: int) -> None:
    endless = b"\x01" + b"\xff" * 7
    block = b"\xa3" + (1 << 28 | 400).to_bytes(4) + bytes(400)
    cluster = b"\x1f\x43\xb6\x75" + endless + block * 50
    start = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + endless + cluster
    wrong = b"\xa3" + (1 << 28 | claimed).to_bytes(4) + bytes(400) + block * 10
    data = start + wrong + cluster * 40
    found = loss_of_matroska(io.BytesIO(data), len(data))
    assert found == MatroskaLoss(False, ((len(start), len(start + wrong)),))


@pytest.mark.parametrize("damage", [bytes(300), b"\x2a" * 300], ids=["zeros", "letters"])
def test_a_finished_webm_whose_only_cluster_breaks_off_is_cut(files: Files, damage: bytes) -> None:
    _, data = files["webm"]
    place = len(data) // 3
    assert not cut("webm", data)
    assert cut("webm", data[:place] + damage + data[place + len(damage) :])


def test_what_cannot_be_told_of_a_loss_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise IndexError("index out of range")

    monkeypatch.setattr("stages._reading_on.loss_of_matroska", fails)
    assert breaks(io.BytesIO(), 0, "webm") == ()
    containers: tuple[Container, ...] = ("webm", "ogg", "mp3", "aac")
    for name in ("loss_of_ogg", "loss_of_frames"):
        monkeypatch.setattr(f"stages._lost_sound.{name}", fails)
    for container in containers:
        lost = LostSound(io.BytesIO(), 0, container, 0.001, from_0=False, track=0)
        assert lost.total(9.0) == (0.0, False)


@pytest.mark.parametrize("name", ["mp3", "aac", "ogg-opus"])
def test_a_cut_file_stays_cut_whatever_fills_it_up(files: Files, name: str) -> None:
    container, data = files[name]
    for missing in (1, 50, 400):
        whole = data[:-missing] + b"\n"
        assert sound_end(io.BytesIO(whole), len(whole), container) == len(whole)
    whole = data[: len(data) // 2] + b"\n"
    assert cut(container, whole)


@pytest.mark.parametrize("end", [b"ID3\n", b"ID3\4\0\0\0\0\x7f\x7f\n", b"x\n", b"TAG\n"])
def test_what_is_no_whole_tag_is_not_left_out(files: Files, end: bytes) -> None:
    whole = files["aac"][1] + end
    assert sound_end(io.BytesIO(whole), len(whole), "aac") == len(whole)


def test_what_stands_behind_the_last_box_is_no_cut_box(files: Files) -> None:
    _, data = files["m4a"]
    for end in (b"\r\n------Web--\r\n", b"<html>", b"\xff" * 99, recordings.id3v1() + b"\n"):
        assert not cut("mp4", data + end)
    for name in (b"free", b"moof", b"mdat", b"udta"):
        assert cut("mp4", data + b"\0\0\0\x20" + name)


def test_padding_behind_the_last_box_is_no_cut_box() -> None:
    for end, expected in ((b"\r\n", False), (bytes(7), False), (b"\0\0\0\x09mda", True)):
        assert cut("mp4", b"\0\0\0\x08free" + end) is expected


def test_a_file_of_nothing_but_tiny_pieces_takes_no_time() -> None:
    read = 0

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            read += 1
            return super().read(size)

    head = bytes.fromhex("1a45dfa380") + bytes.fromhex("18538067 01ffffffffffffff")
    data = head + b"\xec\x80" * 5_000_000  # empty elements
    assert not is_cut(Counting(data), len(data), "webm")
    assert read <= 100_000


@examples(300)
@given(
    st.sampled_from(["wav", "flac", "ogg", "mp3", "aac", "mp4", "webm"]),
    st.binary(max_size=200),
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"OggS", b"\x1a\x45\xdf\xa3", b"\xff\xf1", b"\0"]),
)
def test_no_bytes_make_it_raise(container: Container, data: bytes, head: bytes) -> None:
    assert cut(container, head + data) in (True, False)
    sniff(head + data)
    located(io.BytesIO(head + data))
    parts(io.BytesIO(head + data), len(head + data), container)
    states_length(io.BytesIO(head + data))

"""The journal records the decisions of turn-taking, and a replay repeats them."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decisions import (
    Cancel,
    Chunk,
    Commit,
    DropHeld,
    EndTurn,
    Hold,
    Interrupt,
    PolicyChanged,
    Refuse,
    ReplyBegan,
    ReplyEnded,
    RespondNow,
    StartTurn,
    Typed,
    Understood,
)
from pipeline.endings import ENDING_WORDS, ending, is_backchannel
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    Output,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Samples,
    SpeechStarted,
    SpeechStopped,
    StageShare,
    StageSpan,
    ToolCall,
    Transcript,
    TurnMetrics,
    Word,
)
from pipeline.input_speech import CHUNK_MS
from pipeline.journal import Cause, Journal
from pipeline.replay import JournalError, Level, Note, QueueAge, Replayed, replay
from pipeline.turns import TurnPolicy, TurnState, TurnTaking


class Talk:
    """A conversation with turn-taking, in real time from `now` on, with a journal."""

    def __init__(
        self,
        policy: TurnPolicy | None = None,
        *,
        now: float = 100.25,
        texts: bool = True,
        max_bytes: int = 1_000_000,
    ) -> None:
        self.lines: list[str] = []
        self.journal = Journal(self.lines.append, texts=texts, max_bytes=max_bytes)
        self.turns = TurnTaking(policy)
        self.now = now
        self.at_ms = 0.0
        self.journal.opened("s-1", self.turns.policy, now)

    def does(self, cause: Cause) -> None:
        match cause:
            case "open":
                actions = self.turns.open(self.now)
            case "expire":
                actions = self.turns.expire(self.now)
            case event:
                actions = self.turns.handle(event, self.now)
        self.journal.decided(cause, self.now, actions)

    def chunks(self, count: int, probability: float) -> None:
        for _ in range(count):
            self.at_ms += CHUNK_MS
            self.now += CHUNK_MS / 1000
            self.does(Chunk(self.at_ms, probability))

    def speech(self, ms: int) -> None:
        self.chunks(ms // CHUNK_MS, 0.95)

    def silence(self, ms: int) -> None:
        self.chunks(ms // CHUNK_MS, 0.02)

    def replayed(self) -> Replayed:
        self.journal.closed(self.now)
        return replay(self.lines)


def spoken() -> Talk:
    """The interviewer greets, the person speaks for 0.3 s and is answered."""
    talk = Talk()
    talk.does("open")
    talk.does(ReplyEnded(0))
    talk.silence(64)
    talk.speech(320)
    talk.silence(800)
    return talk


# --- what is written -------------------------------------------------------------------------


def test_the_first_line_has_the_version_the_origin_and_the_policy() -> None:
    policy = TurnPolicy(silence_ms=500)
    head = json.loads(Talk(policy).lines[0])
    assert (head["v"], head["session"], head["origin"], head["texts"]) == (3, "s-1", 100.25, True)
    assert TurnPolicy(**head["policy"]) == policy


def test_a_call_is_one_line_with_its_time_its_cause_and_its_actions() -> None:
    talk = Talk()
    talk.does("open")
    talk.now += 1.5
    talk.does(Typed("hello"))
    assert talk.lines[1:] == [
        '{"t":0,"e":"open","a":[{"Answer":[0,0,100.25,false,"",true]}]}\n',
        '{"t":1500,"e":{"Typed":["hello"]},'
        '"a":[{"Cancel":[0]},{"Answer":[1,0,101.75,false,"hello",true]}]}\n',
    ]


def test_chunks_without_actions_share_a_line_that_is_written_before_the_next() -> None:
    talk = Talk()
    talk.silence(64)
    assert len(talk.lines) == 1
    talk.does(Interrupt())
    assert talk.lines[1:] == [
        '{"t":32,"at":32,"chunks":[[0,0,0.02],[32,32,0.02]]}\n',
        '{"t":64,"e":{"Interrupt":[]},"a":[]}\n',
    ]


def test_no_more_than_32_chunks_are_kept_back() -> None:
    talk = Talk()
    talk.silence(32 * CHUNK_MS)
    assert len(json.loads(talk.lines[1])["chunks"]) == 32
    talk.silence(CHUNK_MS)
    assert len(talk.lines) == 2


def test_a_chunk_that_decides_something_has_its_own_line() -> None:
    talk = spoken()
    decided = [json.loads(line) for line in talk.lines if '"e":{"Chunk"' in line]
    assert decided[0]["e"] == {"Chunk": [288.0, 0.95]}
    assert decided[0]["a"] == [{"Listen": [1, 64, 0]}]


def test_closing_writes_what_was_kept_back() -> None:
    talk = Talk()
    talk.silence(64)
    talk.journal.audio(np.zeros(1600, np.int16), talk.now)
    talk.journal.closed(talk.now)
    assert [set(json.loads(line)) - {"t"} for line in talk.lines[1:]] == [
        {"at", "chunks"},
        {"level"},
    ]


METRICS = TurnMetrics(
    1,
    1000,
    (StageSpan("stt", "whisper", 0.0, None, 99.5),),
    812.5,
    (StageShare("stt", "whisper", 800.0, failed=True), StageShare("tts", "espeak", 12.5)),
)


@pytest.mark.parametrize(
    "frame",
    [
        SpeechStarted(1, 960),
        SpeechStopped(1, 1960),
        Transcript(1, "I like tests.", True, "en", 0.5, (Word("I", 0, 80),)),
        ReplyStarted(1),
        ToolCall(1, "call_1", "look_up", '{"word":"parley"}'),
        ReplyDone(1, True, "Well,"),
        Clear(1, 340),
        Degraded(1, "tts", "piper", "espeak", "timeout"),
        METRICS,
        Fault(1, "not_stored", "the disk is full", True),
    ],
)
def test_frames_that_tell_the_story_are_kept(frame: Output) -> None:
    talk = Talk()
    talk.journal.noted(frame, talk.now + 0.0125)
    assert talk.replayed().notes == (Note(12.5, frame),)


@pytest.mark.parametrize(
    "frame",
    [
        Transcript(1, "I li", False),
        ReplyText(1, "Well."),
        ReplyAudio(1, np.zeros(320, np.int16), 0),
        AvatarState(1, "idle"),
    ],
)
def test_frames_that_come_by_the_dozen_are_not(frame: Output) -> None:
    talk = Talk()
    talk.journal.noted(frame, talk.now)
    assert len(talk.lines) == 1


def test_without_texts_what_people_say_is_masked_and_the_replay_is_still_identical() -> None:
    talk = Talk(texts=False)
    talk.does("open")
    talk.does(Typed("my secret"))
    talk.does(Understood(1, "secret and"))
    words = (Word("secret", 0, 300),)
    talk.journal.noted(Transcript(1, "my secret", True, "en", None, words), talk.now)
    talk.journal.noted(ToolCall(1, "call_1", "tell", '"my secret"'), talk.now)
    talk.journal.noted(ReplyDone(1, False, "A secret!"), talk.now)
    assert "secret" not in "".join(talk.lines)
    found = talk.replayed()
    assert [note.frame for note in found.notes] == [
        Transcript(1, "*********", True, "en", None, (Word("******", 0, 300),)),
        ToolCall(1, "call_1", "tell", "***********"),
        ReplyDone(1, False, "*********"),
    ]
    assert found.decisions[1].cause == Typed("*********")
    assert (found.texts, found.differences) == (False, ())


def test_the_level_of_the_input_is_kept_for_every_100_ms() -> None:
    talk = Talk()
    loud = np.full(2000, 16_384, np.int16)  # 125 ms, half of full scale
    talk.journal.audio(loud, talk.now + 0.125)
    talk.journal.audio(np.zeros(1200, np.int16), talk.now + 0.2)
    talk.journal.audio(np.zeros(1600, np.int16), talk.now + 0.3)
    assert talk.replayed().levels == (
        Level(100.0, -6.0),
        Level(200.0, -12.0),
        Level(300.0, -96.0),
    )


def test_audio_is_handed_on_from_position_0_also_behind_a_cut() -> None:
    kept: list[Samples] = []
    journal = Journal(lambda line: None, max_bytes=100, keep=kept.append)
    journal.opened("s", TurnPolicy(), 0.0)  # longer than that
    pcm = np.arange(4_000, dtype=np.int16)
    journal.audio(pcm[:1_500], 0.1)
    journal.audio(pcm[1_500:], 0.25)
    np.testing.assert_array_equal(np.concatenate(kept), pcm)


def test_no_more_than_32_levels_are_kept_back() -> None:
    talk = Talk()
    talk.journal.audio(np.zeros(3_300 * 16, np.int16), talk.now + 3.3)
    assert len(json.loads(talk.lines[1])["level"]) == 32
    assert talk.replayed().levels[-1] == Level(3300.0, -96.0)


def test_the_age_of_a_queue_is_kept() -> None:
    talk = Talk()
    talk.journal.queue_age("stt", 12.345, talk.now + 1)
    assert talk.replayed().queue_ages == (QueueAge(1000.0, "stt", 12.3),)


@pytest.mark.parametrize("language", ["en", "de", "fr"])
@given(data=st.data())
def test_a_masked_text_is_judged_like_what_was_said(language: str, data: st.DataObject) -> None:
    known = ENDING_WORDS.get(language, ENDING_WORDS["en"])
    heard = sorted(known.backchannels)
    ends = [*sorted(known.fillers), *heard, *known.thinking, *known.closings]
    start = data.draw(st.one_of(st.text(max_size=30), st.sampled_from(heard)))
    said = f"{start} {data.draw(st.sampled_from(['', *ends, '.', ',']))}"
    talk = Talk(texts=False, policy=TurnPolicy(language=language))
    talk.does(Understood(1, said))
    (decision,) = talk.replayed().decisions
    assert isinstance(decision.cause, Understood)
    masked = decision.cause.text
    assert ending(masked, language) == ending(said, language)
    assert is_backchannel(masked, language) == is_backchannel(said, language)
    assert len(masked.split()) == len(said.split())


def test_another_language_holds_for_the_masks_from_then_on() -> None:
    talk = Talk(texts=False)
    talk.does(PolicyChanged(TurnPolicy(language="de")))
    talk.does(Understood(1, "das war es"))
    cause = talk.replayed().decisions[-1].cause
    assert isinstance(cause, Understood)
    assert cause.text == "*** *** danke"


def test_a_journal_of_a_version_without_languages_is_english() -> None:
    talk = Talk()
    talk.does("open")
    head = json.loads(talk.lines[0])
    del head["policy"]["language"]
    found = replay([f"{json.dumps(head)}\n", *talk.lines[1:]])
    assert (found.policy.language, found.differences) == ("en", ())


@pytest.mark.parametrize("max_bytes", range(1_000, 1_200, 5))
def test_a_full_journal_says_so_in_its_last_line_and_takes_nothing_more(max_bytes: int) -> None:
    talk = Talk(max_bytes=max_bytes)
    talk.does("open")
    for _ in range(50):
        talk.silence(32)
        talk.does(Interrupt())
        talk.does(Interrupt())
    talk.journal.noted(ReplyStarted(1), talk.now)
    talk.journal.queue_age("stt", 1.0, talk.now)
    talk.journal.audio(np.zeros(16_000, np.int16), talk.now)
    found = talk.replayed()
    assert json.loads(talk.lines[-1])["cut"] == max_bytes
    assert max_bytes - 150 < sum(map(len, talk.lines)) < max_bytes + 50
    assert sum("cut" in line for line in talk.lines) == 1
    assert found.cut
    assert found.differences == ()


def test_an_hour_of_conversation_is_small() -> None:
    """Measured on five minutes, at the detector's rate, with the digits of a real clock."""
    talk = Talk(now=86_412.304718223)
    talk.does("open")
    talk.does(ReplyEnded(0))
    dice = np.random.default_rng(5)
    for turn in range(1, 16):
        for voiced in (True, False):
            for _ in range(312):
                talk.at_ms += CHUNK_MS
                talk.now = round(talk.now + 0.032 + float(dice.normal(0, 0.001)), 9)
                p = float(dice.beta(9, 1) if voiced else dice.beta(1, 9))
                talk.does(Chunk(talk.at_ms, round(p, 4)))
                talk.journal.audio(np.full(512, 99, np.int16), talk.now)
        talk.does(ReplyEnded(turn))
    assert talk.replayed().differences == ()
    assert 12 * sum(map(len, talk.lines)) < 3_500_000


# --- replay ----------------------------------------------------------------------------------


def test_replay_reproduces_the_decisions_and_the_state_after_each() -> None:
    found = spoken().replayed()
    assert (found.session_id, found.origin, found.cut) == ("s-1", 100.25, False)
    assert len(found.decisions) == 2 + (64 + 320 + 800) // CHUNK_MS
    assert [decision.state for decision in found.decisions[:2]] == [
        TurnState.THINKING,
        TurnState.IDLE,
    ]
    began = found.decisions[2 + 2 + 6]  # the last of seven chunks of speech
    assert began.actions == (StartTurn(1, 64, 0),)
    assert (round(began.at_ms, 6), began.cause) == (288.0, Chunk(288.0, 0.95))
    assert (began.state, began.turn) == (TurnState.LISTENING, 1)
    assert isinstance(found.decisions[-1].actions[0], EndTurn)
    assert found.differences == ()


def test_time_that_runs_out_is_replayed() -> None:
    talk = Talk()
    talk.does("open")
    talk.does(ReplyEnded(0))
    talk.speech(320)
    talk.does("expire")
    deadline = talk.turns.deadline
    assert deadline is not None
    talk.now = deadline
    talk.does("expire")
    found = talk.replayed()
    assert [d.actions for d in found.decisions[-2:]] == [
        (),
        (EndTurn(1, 320, deadline - 1.05, spoken=True),),
    ]
    assert found.differences == ()


def test_a_changed_line_is_a_difference_that_says_what_was_recorded() -> None:
    talk = Talk()
    talk.does("open")
    talk.does(Commit())
    lines = [*talk.lines[:2], talk.lines[2].replace("Commit", "Interrupt")]
    (difference,) = replay(lines).differences
    assert difference.decision.line == 3
    assert difference.decision.actions == (Cancel(0),)
    assert difference.recorded == (Refuse(0, "nothing_to_commit"),)


def test_another_policy_decides_otherwise() -> None:
    talk = spoken()
    talk.journal.closed(talk.now)
    found = replay([talk.lines[0].replace('"start_ms":200', '"start_ms":100'), *talk.lines[1:]])
    taken = [(difference.decision.actions, difference.recorded) for difference in found.differences]
    assert taken[:2] == [((StartTurn(1, 64, 0),), ()), ((), (StartTurn(1, 64, 0),))]


def test_a_change_of_policy_is_replayed() -> None:
    talk = Talk()
    talk.does("open")
    talk.does(ReplyEnded(0))
    policy = TurnPolicy(mode="manual", start_ms=96, replies=False)
    talk.does(PolicyChanged(policy))
    talk.speech(96)
    talk.does(Commit())
    talk.does(RespondNow())
    talk.does(ReplyEnded(1))
    found = talk.replayed()
    assert found.differences == ()
    causes = [decision.cause for decision in found.decisions]
    assert causes[2] == PolicyChanged(policy)
    assert [decision.actions for decision in found.decisions[-4:]] == [
        (StartTurn(1, 0, 0),),
        (EndTurn(1, 96, talk.now, spoken=True, replies=False),),
        (),
        (EndTurn(2, 0, talk.now, spoken=False),),
    ]


def test_a_dropped_barge_in_is_replayed_and_version_2_did_not_write_it_down() -> None:
    talk = spoken()
    talk.does(ReplyBegan(1))
    talk.speech(224)
    talk.does(Interrupt())
    found = talk.replayed()
    assert found.decisions[-2].actions == (Hold(1, 1184, 684),)
    assert found.decisions[-1].actions == (DropHeld(1), Cancel(1))
    assert found.differences == ()
    newest = talk.lines[-1]
    old = newest.replace('{"DropHeld":[1]},', "")
    assert old != newest
    assert replay([*talk.lines[:-1], old]).differences != ()
    head = talk.lines[0].replace('"v":3', '"v":2')
    assert replay([head, *talk.lines[1:-1], old]).differences == ()


def test_what_an_older_version_left_out_has_its_default_value() -> None:
    talk = Talk()
    talk.does("open")
    talk.does(PolicyChanged(TurnPolicy(silence_ms=500)))
    newer = (
        ',"replies":true,"interruptible":true,"opens":true,"judged":false,"language":"en"'
        ',"replies_to_silence":false'
    )
    lines = [
        talk.lines[0].replace(newer, ""),
        talk.lines[1].replace('"",true', '""'),
        talk.lines[2].replace(',true,true,true,false,"en",false]', "]"),
    ]
    assert all(new != old for new, old in zip(talk.lines, lines, strict=True))
    found = replay(lines)
    assert found.policy == TurnPolicy()
    assert [decision.cause for decision in found.decisions] == [
        "open",
        PolicyChanged(TurnPolicy(silence_ms=500)),
    ]
    assert found.differences == ()


def test_a_line_that_a_dying_process_left_half_written_is_a_cut() -> None:
    talk = spoken()
    whole = replay(talk.lines)
    found = replay([*talk.lines, talk.lines[-1][:20]])
    assert (found.cut, found.decisions) == (True, whole.decisions)


def lines() -> list[str]:
    talk = spoken()
    talk.does(Typed("more"))
    talk.journal.noted(METRICS, talk.now)
    talk.journal.audio(np.zeros(3200, np.int16), talk.now)
    talk.journal.queue_age("stt", 1.0, talk.now)
    talk.journal.closed(talk.now)
    return talk.lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("\n", "no JSON: Expecting value at character 2"),
        ('{"t":1,\n', "no JSON: Expecting property name enclosed in double quotes at character 9"),
        ("[" * 100_000 + "\n", "recursion"),
        ("[]\n", "[] where dict is expected"),
        ("{}\n", "nothing here is called 't'"),
        ('{"t":1}\n', "no kind of line that a journal has"),
        ('{"t":"soon","cut":1}\n', "soon where a number is expected"),
        ('{"t":NaN,"cut":1}\n', "nan where a number is expected"),
        ('{"t":1e400,"cut":1}\n', "inf where float is expected"),
        ('{"t":1e9999999,"queue":["stt",1]}\n', "inf where float is expected"),
        ('{"t":1,"e":{"Shout":[]},"a":[]}\n', "nothing here is called 'Shout'"),
        ('{"t":1,"e":{"Typed":[]},"a":[]}\n', "missing 1 required positional argument"),
        ('{"t":1,"e":{"Typed":[5]},"a":[]}\n', "5 where str is expected"),
        ('{"t":1,"e":{"Typed":["x"],"Commit":[]},"a":[]}\n', "too many values"),
        ('{"t":1,"e":{"ReplyBegan":[true]},"a":[]}\n', "True where int is expected"),
        ('{"t":1,"e":{"Chunk":[true,0.5]},"a":[]}\n', "True where float is expected"),
        ('{"t":1,"e":{"Chunk":[32,NaN]},"a":[]}\n', "nan where float is expected"),
        ('{"t":1,"e":{"Cancel":[1]},"a":[]}\n', "Cancel(turn=1) where"),
        ('{"t":1,"e":"close","a":[]}\n', "close where"),
        ('{"t":1,"e":"open","a":[{"Commit":[]}]}\n', "Commit() where"),
        (
            '{"t":1,"e":"open","a":[{"Refuse":[0,"whim"]}]}\n',
            "whim where 'nothing_to_commit' or 'reply_under_way' or",
        ),
        ('{"t":1,"e":"open","a":5}\n', "not iterable"),
        ('{"t":1,"at":32,"chunks":[[0,0]]}\n', "not enough values"),
        ('{"t":1,"at":32,"chunks":[[0,1e999,0.5]]}\n', "inf where float is expected"),
        (
            '{"t":1,"f":{"Word":["a",0,1]}}\n',
            "Word(text='a', start_ms=0, end_ms=1) where SpeechStarted or",
        ),
        ('{"t":1,"f":{"TurnMetrics":[1,1000,"stt",1]}}\n', "stt where a list is expected"),
        ('{"t":1,"f":{"TurnMetrics":[1,1000,["stt"],1]}}\n', "('stt',) where a list is expected"),
        ('{"t":1,"level":[["a",1]]}\n', "a where a number is expected"),
        ('{"t":1,"level":[[0,"loud"]]}\n', "loud where float is expected"),
        ('{"t":1,"queue":[5,1]}\n', "5 where str is expected"),
        ('{"t":1,"queue":["stt"]}\n', "no kind of line that a journal has"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, reason: str) -> None:
    with pytest.raises(JournalError, match=re.escape(reason)) as raised:
        replay([*lines()[:3], line, lines()[3]])
    assert (raised.value.line, str(raised.value)) == (4, f"line 4: {raised.value.reason}")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("", "no JSON: Expecting value at character 1"),
        ('{"v":4}\n', "version 4 where 2 and 3 are known"),
        ('{"t":0,"e":"open","a":[]}\n', "version None where 2 and 3 are known"),
        ('{"v":2}\n', "nothing here is called 'session'"),
        ('{"v":2,"session":"s","origin":1,"texts":true,"policy":{"patience":1}}\n', "'patience'"),
        (
            '{"v":2,"session":"s","origin":1,"texts":true,"policy":{"silence_ms":"a"}}\n',
            "a where int is expected",
        ),
    ],
)
def test_a_first_line_of_something_else_is_refused(head: str, reason: str) -> None:
    with pytest.raises(JournalError, match=re.escape(reason)) as raised:
        replay([head])
    assert raised.value.line == 1
    assert raised.value.reason.startswith("not the first line of a journal: ")


def test_an_empty_file_is_no_journal() -> None:
    with pytest.raises(JournalError):
        replay([])


SAID = ("I like", "okay", "That is it.", "Let me think")
POLICIES = (
    TurnPolicy(),
    TurnPolicy(mode="manual"),
    TurnPolicy(replies=False),
    TurnPolicy(interruptible=False),
)
SCRIPTS = st.lists(
    st.one_of(
        st.tuples(st.just("speech"), st.integers(1, 40)),
        st.tuples(st.just("silence"), st.integers(1, 40)),
        st.sampled_from(
            [(word, 0) for word in ("typed", "interrupt", "commit", "began", "ended", "expire")]
        ),
        st.just(("respond", 0)),
        st.tuples(st.just("policy"), st.integers(0, len(POLICIES) - 1)),
        st.tuples(st.just("understood"), st.integers(0, 3)),
        st.just(("deadline", 0)),
    ),
    max_size=40,
)
CLOCKS = st.floats(0, 1e7) | st.floats(0, 1)
STEPS = st.floats(1e-6, 0.2)


@given(SCRIPTS, CLOCKS, STEPS, st.floats(0, 1), st.booleans())
def test_every_journal_replays_to_identical_decisions(
    script: list[tuple[str, int]], origin: float, step_s: float, probability: float, texts: bool
) -> None:
    talk = Talk(now=origin, texts=texts, max_bytes=10_000_000)
    made: list[tuple[object, ...]] = []

    def does(cause: Cause) -> None:
        talk.does(cause)
        made.append((talk.turns.state, talk.turns.turn))

    does("open")
    for kind, count in script:
        turn = talk.turns.turn
        match kind:
            case "speech" | "silence":
                for _ in range(count):
                    talk.now += step_s
                    talk.at_ms += CHUNK_MS + step_s
                    p = max(probability, 0.6) if kind == "speech" else probability / 4
                    does(Chunk(talk.at_ms, p))
            case "typed":
                does(Typed("x"))
            case "interrupt":
                does(Interrupt())
            case "commit":
                does(Commit())
            case "respond":
                does(RespondNow())
            case "policy":
                does(PolicyChanged(POLICIES[count]))
            case "understood":
                does(Understood(turn + count % 2, SAID[count]))
            case "began":
                does(ReplyBegan(turn))
            case "ended":
                does(ReplyEnded(turn))
            case "expire":
                does("expire")
            case _:
                talk.now = talk.turns.deadline or talk.now
                does("expire")
    found = talk.replayed()
    assert found.differences == ()
    assert [(decision.state, decision.turn) for decision in found.decisions] == made


@given(st.data())
def test_a_damaged_journal_is_replayed_or_named_malformed(data: st.DataObject) -> None:
    whole = lines()
    number = data.draw(st.integers(0, len(whole) - 1))
    line = whole[number].rstrip("\n")
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 12)))
    put = data.draw(st.sampled_from(["", "0", "-1", "1e999", "null", "true", '"', "[]", "{}", ","]))
    whole[number] = f"{line[:start]}{put}{line[end:]}\n"
    malformed = 0
    try:
        replay(whole)
    except JournalError as error:
        malformed = error.line
    assert malformed in (0, number + 1)

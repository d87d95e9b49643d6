"""How long the candidate of an interview took to answer, and the interviewer to reply. Pure."""

from pipeline.frames import ReplyDone, SpeechStarted, TurnMetrics
from pipeline.stage import Observed, RecognizedSpeech
from stages.interview import AnswerSpeech, RecognitionSource


class AnswerTimes:
    """Measures for each turn how long the candidate took to begin, and the interviewer to reply."""

    def __init__(self) -> None:
        self._asked_at: float | None = None  # when the last reply had been heard to its end
        self._began: tuple[int, float, int] | None = None  # turn, s after that, position in ms
        self._latency: tuple[int, float | None] = (-1, None)

    def observe(self, output: Observed, now: float) -> None:
        match output:
            case ReplyDone(interrupted=False):
                # A prompt does not restart the wait: it began after the question.
                self._asked_at = now if self._asked_at is None else self._asked_at
            case SpeechStarted(turn, at_ms):
                asked_at, self._asked_at = self._asked_at, None
                self._began = None if asked_at is None else (turn, now - asked_at, at_ms)
            case TurnMetrics(turn=turn, voice_to_voice_ms=latency_ms):
                self._latency = (turn, latency_ms)

    def answered(self) -> None:
        """Note that the answer has come: the next wait begins after another reply."""
        self._asked_at = None

    def latency_ms(self, turn: int) -> float | None:
        """How long the candidate waited for the turn's reply; None if it is not known."""
        return self._latency[1] if self._latency[0] == turn else None

    def speech(self, turn: int, heard: RecognizedSpeech) -> AnswerSpeech:
        """The answer's speech, for the report; the detector's delay is not subtracted."""
        transcript = heard.transcript
        recognition = RecognitionSource(
            heard.provider, confidence=transcript.confidence, language=transcript.language
        )
        wait_ms = None
        if self._began is not None and self._began[0] == turn:
            _, after_s, at_ms = self._began
            wait_ms = max(0.0, after_s * 1000 - (at_ms - heard.start_ms))
        return AnswerSpeech(recognition, transcript.words, heard.duration_ms, wait_ms)

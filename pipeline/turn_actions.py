"""`TurnActions`: performs the actions that turn-taking decides for one session."""

import asyncio
from collections.abc import Callable

from pipeline.answer import Answer
from pipeline.decisions import (
    REFUSALS,
    Abandon,
    Action,
    AskTurnModel,
    Cancel,
    Close,
    Discard,
    DropHeld,
    EndTurn,
    Event,
    Hold,
    Prompt,
    ReplyEnded,
    Resume,
    Speculate,
    StartTurn,
)
from pipeline.frames import AvatarState, Degraded, Fault, Output, SpeechStarted, SpeechStopped
from pipeline.input_audio import InputAudio
from pipeline.ladder import AHEAD, ON_DECISION, Ladder
from pipeline.replies import Replies
from pipeline.reply import Reply, ReplyTask
from pipeline.stage import Host
from pipeline.turn_questions import TurnQuestions
from pipeline.voice import Voice


class TurnActions:
    """Performs one session's actions on its input audio, its replies and its voice. Plain calls.

    `handle` takes the event that a reply without a line is over, and `closed` is called if that was
    the farewell. With `speculates`, replies are prepared before their turns are decided, if the
    process's `ladder` allows it; if not, the client gets a `Degraded`.
    """

    def __init__(
        self,
        audio: InputAudio,
        replies: Replies,
        voice: Voice,
        questions: TurnQuestions,
        host: Host,
        *,
        speculates: bool,
        ladder: Ladder,
        handle: Callable[[Event], None],
        closed: Callable[[], None],
        emit: Callable[[Output], None],
    ) -> None:
        self._input = audio
        self._replies = replies
        self._voice = voice
        self._questions = questions
        self._host = host
        self._speculates = speculates
        self._ladder = ladder
        self._told = -1  # the latest turn whose client was told that nothing is prepared
        self._handle = handle
        self._closed = closed
        self._emit = emit
        self._tasks: asyncio.TaskGroup | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """The session runs: `tasks` gets the work. Before any other call."""
        self._tasks = tasks

    def perform(self, actions: list[Action]) -> None:
        """Perform the decided actions in their order."""
        for action in actions:
            match action:
                case StartTurn():
                    self._start_turn(action)
                case Speculate():
                    self._speculate(action)
                case AskTurnModel():
                    self._questions.ask(self._tasks, action, self._input.current)
                case Discard():
                    self.discard()
                case EndTurn():
                    self._end_turn(action)
                case Cancel():
                    self.silence()
                case Hold(turn, _, from_ms):
                    self._voice.pause(turn)
                    self._input.hold(turn + 1, from_ms)
                case DropHeld():
                    self._input.drop_held()
                case Abandon(turn):
                    self._input.abandon()
                    self._emit(AvatarState(turn, "idle"))
                case Resume(turn):
                    self._voice.resume(turn)
                case Prompt(turn, times):
                    self._say(turn, ReplyTask(line=self._host.prompt(turn, times)))
                case Close(turn):
                    self._say(turn, ReplyTask(line=self._host.farewell(), closes=True))
                case _:  # Refuse
                    self._emit(Fault(action.turn, action.code, REFUSALS[action.code]))

    def discard(self) -> None:
        """The person goes on speaking, or adds typed text: drop what was prepared."""
        if self._replies.discard():
            assert self._input.current is not None
            self._input.current.reopen()

    def leave(self, *, more: bool) -> Answer | None:
        """The session ends: stop the reply. Returns the answer whose recognition goes on.

        With `more` there is input audio that belongs to the utterance under way and was not fed
        yet, so that it is recognised again as a whole.
        """
        speaking = self._input.current is not None
        if speaking and more:
            self.discard()
            return None
        answer = self._replies.leave()
        if answer is None:
            self.silence()
        elif not speaking:
            self._input.carried = answer.pending
        return answer

    def silence(self) -> None:
        """Stop the reply under way, if there is one, and have the host remember what was heard."""
        assert self._tasks is not None
        carried = self._replies.silence(self._tasks)
        if carried is not None:
            self._input.carried = carried

    def _start_turn(self, action: StartTurn) -> None:
        self._input.start(action.turn, action.from_ms)
        self._voice.echo.began(action.at_ms)
        self._emit(SpeechStarted(action.turn, action.at_ms))
        self._emit(AvatarState(action.turn, "listening"))

    def _speculate(self, action: Speculate) -> None:
        """Prepare the reply while the silence may still be a pause."""
        self._voice.echo.ended(action.at_ms)
        if self._speculates and not self._ladder.works_ahead:
            if action.turn != self._told:
                self._told, why = action.turn, self._ladder.reason
                self._emit(Degraded(action.turn, "llm", AHEAD, ON_DECISION, why))
        elif self._speculates:
            answer = self._replies.answer(action.turn, action.ended, self._input.current)
            self._begin(answer, ReplyTask())

    def _end_turn(self, action: EndTurn) -> None:
        if action.typed:
            self.discard()
        utterance = self._input.end(action.typed)
        if action.spoken:
            self._voice.echo.ended(action.at_ms)
            self._emit(SpeechStopped(action.turn, action.at_ms))
        self._emit(AvatarState(action.turn, "thinking"))
        reply = self._replies.current
        if reply is None:
            answer = self._replies.answer(action.turn, action.ended, utterance, action.typed)
            reply = self._begin(answer, ReplyTask(replies=action.replies))
        assert reply.turn == action.turn
        now = asyncio.get_running_loop().time()
        reply.budget.end("endpointing", now)
        reply.budget.release(now)
        reply.release()

    def _say(self, turn: int, task: ReplyTask) -> None:
        """Speak a line that replies to nothing; without a line the turn is over at once."""
        if task.line:
            now = asyncio.get_running_loop().time()
            self._begin(self._replies.answer(turn, now), task).release()
            return
        self._handle(ReplyEnded(turn))
        if task.closes:
            self._closed()

    def _begin(self, answer: Answer, task: ReplyTask) -> Reply:
        assert self._tasks is not None
        return self._replies.begin(self._tasks, answer, task)

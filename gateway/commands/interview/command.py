"""`parley interview`: an interview in writing, in the terminal."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.commands.call import read_token
from gateway.commands.interview.answers import Answers, Keyboard, Pipe, Prepared, prepared
from gateway.commands.interview.backend import InterviewBackend, InterviewView, Wanted
from gateway.commands.interview.choose import choose
from gateway.commands.interview.report import Target
from gateway.commands.interview.screen import JsonTextScreen, PersonTextScreen, TextScreen
from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, CommandFailed, output
from gateway.interviews.sessions import SESSION_ID

T = TypeVar("T")


def interview(arguments: argparse.Namespace) -> int:
    """Hold the interview that the options of `parley interview` describe; returns the exit code.

    Raises `CommandFailed`.
    """
    wanted = _wanted(arguments)
    token = read_token(arguments.token_file)
    person = sys.stdin.isatty() and arguments.answers is None
    target = Target(arguments.save, force=arguments.force, ask=_yes if person else None)
    answers: Answers
    if arguments.answers is not None:
        answers = prepared(arguments.answers)
    else:
        answers = Keyboard() if person else Pipe()
    screen: TextScreen
    screen = JsonTextScreen(output()) if arguments.json else PersonTextScreen(output())
    with asyncio.Runner() as runner:
        backend = runner.run(choose(arguments.url, token))
        try:
            return _Interview(runner, backend, answers, screen, target).hold(wanted)
        finally:
            runner.run(backend.aclose())


def _wanted(arguments: argparse.Namespace) -> Wanted:
    if arguments.resume is None:
        return Wanted(
            arguments.role, arguments.questions, arguments.model, language=arguments.language
        )
    if SESSION_ID.fullmatch(arguments.resume) is None:
        raise CommandFailed("--resume: a session's id has 1 to 64 of A-Z a-z 0-9 _ -")
    for option in ("role", "questions", "model", "language"):
        if getattr(arguments, option) is not None:
            raise CommandFailed(f"--{option} is for a new interview: leave it out with --resume")
    return Wanted(resume=arguments.resume)


class _Interview:
    """One interview. It waits for the person while the event loop does not run."""

    def __init__(
        self,
        runner: asyncio.Runner,
        backend: InterviewBackend,
        answers: Answers,
        screen: TextScreen,
        target: Target,
    ) -> None:
        self._runner = runner
        self._backend = backend
        self._answers = answers
        self._screen = screen
        self._target = target
        self._view: InterviewView | None = None

    def hold(self, wanted: Wanted) -> int:
        """Go from the first question to the report; returns the exit code. Raises
        `CommandFailed`."""
        try:
            view = self._view = self._run(self._backend.open(wanted))
            self._screen.opened(
                view,
                self._backend.where,
                resumed=wanted.resume is not None,
                interactive=self._answers.typed,
            )
            return self._converse(view)
        except KeyboardInterrupt:
            return self._keep(INTERRUPTED)
        except CommandFailed as error:
            if self._view is None:
                raise
            message = f"{error.message}; go on with: {self._command()}"
            raise CommandFailed(message, error.code) from None

    def _converse(self, view: InterviewView) -> int:
        self._screen.question(view)
        while not view.is_complete:
            try:
                text = self._answers.next(self._screen.prompt)
            except KeyboardInterrupt:
                return self._stop(view, INTERRUPTED)
            if text is None:
                return self._stop(view, FAILED)
            self._screen.answer(view, text, typed=self._answers.typed)
            with self._screen.busy("One moment", long=False):
                view = self._view = self._run(self._backend.submit(text))
            self._screen.question(view)
        if isinstance(self._answers, Prepared) and self._answers.left:
            self._screen.say(f"{_answers(self._answers.left)} more than questions.")
        return self._report(DONE)

    def _stop(self, view: InterviewView, code: int) -> int:
        """Handle the end of the answers: report on those given, if that is wanted."""
        self._screen.say("")
        if not view.answered:
            self._screen.say("Nothing has been answered, so there is no report.")
            return self._keep(code)
        if self._answers.typed:
            so_far = f"You have answered {_questions(view.answered)} of {view.total}."
            if not _yes(f"{so_far} End the interview here, with a report?", enter=True):
                return self._keep(code)
        elif code == INTERRUPTED:
            return self._keep(code)
        else:
            self._screen.say(
                f"The answers ended at question {view.number} of {view.total}:"
                f" the report is about {_questions(view.answered)}."
            )
        return self._report(code)

    def _report(self, code: int) -> int:
        by = f" ({judge})" if (judge := self._backend.judge) else ""
        with self._screen.busy(f"Evaluating the answers{by}", long=True):
            report = self._run(self._backend.report())
        self._screen.report(report, self._target.write(report))
        return code

    def _keep(self, code: int) -> int:
        if self._view is not None:
            self._screen.kept(self._command())
        return code

    def _command(self) -> str:
        """The command that resumes this interview."""
        assert self._view is not None
        option = f" {self._backend.option}" if self._backend.option else ""
        return f"parley interview --resume {self._view.session_id}{option}"

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(step)


def _yes(question: str, *, enter: bool = False) -> bool:
    """Ask the person at the terminal; `enter` is what Enter alone means. No answer means no."""
    try:
        said = input(f"{question} [{'Y/n' if enter else 'y/N'}] ").strip().lower()
    except EOFError:
        return False
    return said in ("y", "yes") or (enter and not said)


def _questions(number: int) -> str:
    return "one question" if number == 1 else f"{number} questions"


def _answers(number: int) -> str:
    return "There was one answer" if number == 1 else f"There were {number} answers"

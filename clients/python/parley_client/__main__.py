"""Hold an interview in the terminal: `parley-client ws://127.0.0.1:8000`."""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from parley_client.call import Call, connect
from parley_client.clip import Speech, read_clip
from parley_client.errors import CallError
from parley_client.events import (
    Degraded,
    Error,
    Event,
    Interview,
    LineBroke,
    Ready,
    ReplyDone,
    ReplyText,
    Transcript,
)
from parley_client.sound import sound


def _line(event: Event) -> str | None:
    match event:
        case Ready(session_id=session_id, resumed=None):
            return f"        session {session_id}"
        case Ready():
            return "        the line is back"
        case LineBroke(reason):
            return f"        the line broke ({reason}); connecting again…"
        case ReplyText(_, text):
            return f"Parley  {text}"
        case Transcript(_, text, True):
            return f"You     {text}"
        case Degraded(stage=stage, from_=source, to=target, reason=reason):
            return f"        {stage}: {target} in place of {source} ({reason})"
        case Error(_, message, False):  # a fatal one ends the call, which says why
            return f"        {message}"
    return None


def _show(event: Event) -> None:
    if (line := _line(event)) is not None:
        print(line, flush=True)


async def _say(call: Call, clips: list[bytes], texts: list[str]) -> None:
    """Say the clips and then type the texts, one after each reply, and hang up."""
    speech = Speech(call)
    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(speech.run())
        saying: list[asyncio.Task[None]] = []
        async for event in call:
            _show(event)
            match event:
                case ReplyDone() if clips:
                    saying.append(tasks.create_task(speech.speak(clips.pop(0))))
                case ReplyDone() if texts:
                    await call.say(texts.pop(0))
                case ReplyDone():
                    await call.hang_up()
        for each in saying:
            each.cancel()
        speaking.cancel()


async def _run(options: argparse.Namespace) -> None:
    clips = [read_clip(path) for path in options.clip]
    rates = {hz for _, hz in clips} or {16_000}
    if len(rates) > 1:
        raise ValueError("the clips have different sample rates")
    async with AsyncExitStack() as stack:
        call = await stack.enter_async_context(
            connect(
                options.url,
                options.session,
                role=options.role,
                questions=options.questions,
                language=options.language,
                api_key=options.key,
                audio_in_hz=rates.pop(),
            )
        )
        if clips or options.say:
            return await _say(call, [pcm for pcm, _ in clips], options.say)
        async for event in await stack.enter_async_context(sound(call)):
            _show(event)
            if isinstance(event, Interview) and event.isComplete:
                print("        the interview is complete", flush=True)


def main() -> None:
    """The command. Exit status 1 where the call failed, in words."""
    parser = argparse.ArgumentParser(
        prog="parley-client",
        description="Hold an interview with a Parley gateway, by microphone and headphones.",
        epilog="Without a microphone: --clip answer.wav speaks a recording, --say TEXT types.",
    )
    parser.add_argument("url", help="the gateway, such as ws://127.0.0.1:8000 or https://host")
    parser.add_argument("--session", help="the id of a session that was made over REST")
    parser.add_argument("--role", help="Software Engineer, Product Manager or Data Analyst")
    parser.add_argument("--questions", type=int, help="how many, 1 to 15")
    parser.add_argument("--language", help="en or de")
    parser.add_argument("--key", help="an API key, where the gateway has keys")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a WAV file to say")
    parser.add_argument("--say", action="append", default=[], help="an answer to type")
    options = parser.parse_args()
    try:
        asyncio.run(_run(options))
    except (CallError, ValueError, OSError) as error:
        sys.exit(f"parley-client: {error}")
    except ExceptionGroup as group:
        sys.exit("parley-client: " + "; ".join(str(each) for each in group.exceptions))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

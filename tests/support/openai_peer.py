"""A small OpenAI-compatible server with faults: `python -m tests.support.openai_peer --port 0`.

Prints its port and serves chat, transcription and speech on 127.0.0.1 until its stdin ends. What a
call does is told by its model, up to a slash ("stall/1" is a "stall" that has a name of its own).
`/requests?model=` lists what was asked; `/disconnects?model=` answers when the client of such a
call has gone before its end.
"""

import argparse
import asyncio
import base64
import gzip
import io
import itertools
import json
import math
import socket
import struct
import sys
import threading
import wave
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

import uvicorn

HANG = math.inf
"""A pause without end."""

TONE_HZ = 24_000
LATE = "You should not hear this. "


class Abort(Exception):
    """Raised to break the connection in the middle of a body."""


class Call:
    """One request, and the answer to it."""

    def __init__(self, scope: dict[str, Any], body: bytes, send: Callable[..., Awaitable[None]]):
        self.path: str = scope["path"]
        self.client: str = "{}:{}".format(*scope["client"])
        self.query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode()).items()}
        self.headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        self.body = body
        self.fields: dict[str, Any] = {}
        kind = self.headers.get("content-type", "")
        if kind.startswith("application/json"):
            self.fields = json.loads(body)
        elif kind.startswith("multipart/form-data"):
            self.fields = form(kind, body)
        self._send = send
        self._started = False

    async def start(self, kind: str, status: int = 200, **headers: str) -> None:
        lines = {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
        pairs = [(k.encode(), v.encode()) for k, v in lines.items() if v]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})
        self._started = True

    async def write(self, data: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def json(self, value: Any, status: int = 200, **headers: str) -> None:
        await self.start("application/json", status, **headers)
        await self.write(json.dumps(value).encode(), more=False)

    async def stream(self, kind: str, parts: AsyncIterator[bytes]) -> None:
        await self.start(kind)
        async for part in parts:
            await self.write(part)
            await asyncio.sleep(0)  # writing to a client that is gone never waits
        await self.write(b"", more=False)


def form(kind: str, body: bytes) -> dict[str, Any]:
    head = b"Content-Type: " + kind.encode() + b"\r\n\r\n"
    message: Any = BytesParser().parsebytes(head + body)
    fields: dict[str, Any] = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = data.decode()
            continue
        with wave.open(io.BytesIO(data)) as audio:
            frames = audio.readframes(audio.getnframes())
            fields[name] = {
                "filename": part.get_filename(),
                "type": part.get_content_type(),
                "format": [audio.getframerate(), audio.getnchannels(), audio.getsampwidth()],
                "frames": base64.b64encode(frames).decode(),
            }
    return fields


async def paused(steps: Any) -> AsyncIterator[bytes]:
    """The bytes among `steps`; numbers are pauses, an exception breaks the connection."""
    for step in steps:
        if isinstance(step, BaseException):
            raise step
        if not isinstance(step, float):
            yield step
        elif step == HANG:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(step)


# --- chat ------------------------------------------------------------------------------------


def sse(value: Any) -> bytes:
    data = value if isinstance(value, str) else json.dumps(value)
    return f"data: {data}\n\n".encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    return sse({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def text(*pieces: str) -> list[bytes]:
    return [chunk(content=piece) for piece in pieces]


def part(index: Any, call_id: Any, name: Any, arguments: Any = None) -> dict[str, Any]:
    """A piece of a call; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    whole = {"index": index, "id": call_id, "type": "function" if call_id else None}
    whole["function"] = {key: value for key, value in function.items() if value is not None}
    return {key: value for key, value in whole.items() if value is not None}


def called(index: Any, call_id: Any, name: Any, arguments: Any) -> bytes:
    return chunk(tool_calls=[part(index, call_id, name, arguments)], content=None)


STOP = chunk("stop")
USAGE = sse({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
DONE = sse("[DONE]")
END = [STOP, USAGE, DONE]
KEPT_ALIVE = [b": keep-alive\n\n", chunk(role="assistant", content=""), sse({"choices": []})]
HELLO = text("Hello", " there.")

THANKS = ("Thank", " you", ".", " What", " did you", " measure?")
REFUSAL = "I'm sorry, but I can't assist with that."

CHATS: dict[str, Callable[[], Any]] = {
    "hello": lambda: [*KEPT_ALIVE, *HELLO, *END],
    "bytes": lambda: (bytes([byte]) for part in (*text("Schön, 你好."), *END) for byte in part),
    "roles": lambda: [chunk(role="assistant", content=p) for p in ("One", " two.")] + END,
    "reasoning": lambda: [
        chunk(reasoning="Hm. ", content=""),
        chunk(reasoning_content="Hm. ", content=None),
        *text("<thi", "nk>Let me see.</th", "ink>\n\n", "**Well**, ", "use `C#`."),
        *END,
    ],
    "malformed": lambda: [*HELLO, b'data: {"choices": [\n\n', *END],
    "no-object": lambda: [*HELLO, sse([1]), *END],
    "no-delta": lambda: [*HELLO, sse({"choices": [7]}), *END],
    "no-text": lambda: [chunk(content=[7]), *END],
    "nested": lambda: [sse("[" * 60_000), *END],
    "error": lambda: [*HELLO, sse({"error": {"message": "out of memory", "code": 500}}), *END],
    "eof": lambda: HELLO,
    "eof-cut": lambda: text("Hello", " there. How"),
    "eof-due": lambda: text("Good. ", "Why"),
    "eof-due-cut": lambda: text("Good. How did you ", "measure the"),
    "eof-refusal": lambda: text(REFUSAL),
    "eof-call": lambda: [*HELLO, called(0, "call_a", "end", '{"now": true}')],
    "eof-call-cut": lambda: [*HELLO, called(0, "call_a", "end", '{"now": tr')],
    "eof-call-begun": lambda: [*HELLO, called(0, "call_a", "end", "")],
    "eof-thought": lambda: text("<think>Hm."),
    "eof-finished": lambda: [*HELLO, STOP],
    "done-only": lambda: [*HELLO, DONE],
    "reset": lambda: [*HELLO, Abort()],
    "reset-finished": lambda: [*HELLO, STOP, Abort()],
    "stall": lambda: [*HELLO, HANG],
    "lingers": lambda: [*HELLO, STOP, HANG],
    "keep-alive": lambda: itertools.cycle([0.02, *KEPT_ALIVE]),
    "drip": lambda: itertools.chain(*([0.01, part] for part in text(*"Slowly but surely.")), END),
    "endless": lambda: itertools.chain.from_iterable(
        (chunk(content=f"This is sentence {number}. "), 0.001) for number in itertools.count()
    ),
    "empty": lambda: END,
    "tools": lambda: [
        chunk(tool_calls=[{"index": 0, "function": {"name": "end", "arguments": "{}"}}]),
        chunk("tool_calls"),
        DONE,
    ],
    "calls": lambda: [
        *HELLO,
        called(0, "call_a", "look_up", ""),
        called(0, None, None, '{"word":'),
        called(0, None, None, ' "parley"}'),
        called(1, "call_b", "end", "{}"),
        chunk("tool_calls"),
        USAGE,
        DONE,
    ],
    "calls-loose": lambda: [
        called(None, None, "look_up", '{"word": '),
        called(None, None, None, "1}"),
        called(None, None, "end", None),
        DONE,
    ],
    "calls-same-index": lambda: [
        chunk("stop", tool_calls=[part(0, "call_a", "end", {"now": True}), part(0, "b", "end")]),
        DONE,
    ],
    "calls-cut": lambda: [
        called(0, "call_a", "end", "{}"),
        called(1, "call_b", "look_up", '{"wo'),
        chunk("length"),
        DONE,
    ],
    "calls-after-a-book": lambda: [
        *text(*["This is a line of a book. " * 40] * 2),
        called(0, "call_a", "end", "{}"),
        chunk("tool_calls"),
        DONE,
    ],
    "calls-never": lambda: [*text(*["This is a line of a book. " * 40] * 2), HANG],
    "calls-nameless": lambda: [called(0, "call_a", None, "{}"), chunk("tool_calls"), DONE],
    "calls-no-text": lambda: [called(0, "call_a", "end", 5), chunk("tool_calls"), DONE],
    "calls-no-index": lambda: [called("a", "call_a", "end", "{}"), chunk("tool_calls"), DONE],
    "calls-no-list": lambda: [chunk("tool_calls", tool_calls=[7]), DONE],
    "calls-many": lambda: [called(n, None, "end", "{}") for n in range(17)] + END,
    "calls-long": lambda: itertools.repeat(called(0, "call_a", "end", "x" * 8000)),
    "thinks": lambda: itertools.cycle([0.02, chunk(reasoning="Hm. ", content="")]),
    "thought": lambda: [chunk(reasoning="Hm. "), *text("<think>Hm.", "</think>"), *END],
    "bytewise": lambda: itertools.chain.from_iterable(
        (1.0, bytes([byte])) for byte in b"".join([*HELLO, *END])
    ),
    "pages": lambda: [*text("This is a line of a book. " * 50_000), *END],
    "book": lambda: [*text(*["This is a line of a book. " * 40] * 1250), *END],
    "crawls": lambda: itertools.chain(*([0.3, part] for part in text(*["and so on "] * 90)), END),
    "line": lambda: itertools.repeat(b"x" * 8192),
    # What other people's servers sent; docs/compatibility.md has the list.
    "finish-empty": lambda: [*(chunk("", content=p) for p in THANKS), chunk("", content=""), DONE],
    "finish-null": lambda: [*(chunk("null", content=p) for p in THANKS), chunk("eos"), DONE],
    "finish-early": lambda: [
        chunk("stop", role="assistant", content=""),
        *(chunk(content=p) for p in THANKS[:-1]),
        chunk("stop", content=THANKS[-1]),
        DONE,
    ],
    "finish-each": lambda: [*(chunk("stop", content=p) for p in THANKS), DONE],
    "finish-early-only": lambda: [chunk("stop", content=""), HANG],
    "parts": lambda: [
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]),
        *(chunk(content=[{"type": "text", "text": p}]) for p in THANKS),
        *END,
    ],
    "strings": lambda: [*(chunk(content=[p, ""]) for p in THANKS), *END],
    "strings-and-parts": lambda: [
        *(chunk(content=[p[:2], {"type": "text", "text": p[2:]}, None]) for p in THANKS),
        *END,
    ],
    "messages": lambda: [
        *(sse({"choices": [{"message": {"content": p}, "finish_reason": None}]}) for p in THANKS),
        *END,
    ],
    "texts": lambda: [*(sse({"choices": [{"text": p}]}) for p in THANKS), *END],
    "gave-up": lambda: [*HELLO, chunk("abort")],
    "error-object": lambda: [*HELLO, sse({"object": "error", "message": "out of memory"})],
    "function": lambda: [
        chunk(function_call={"name": "end", "arguments": ""}),
        chunk(function_call={"arguments": "{}"}),
        chunk("function_call"),
        DONE,
    ],
    "tool-text": lambda: [*text('{"name": "lookup", ', '"arguments": {"word": "x"}}'), *END],
    "tool-tags": lambda: [*text('<tool_call>{"name": "lookup"}', "</tool_call>"), *END],
    "tool-fence": lambda: [*text("```json\n", '{"name": "lookup"}', "\n```"), *END],
    "tool-typed": lambda: [*text('{"type": "function", "function": {"name": "x"}}'), *END],
    "refusal": lambda: [*text(REFUSAL), chunk("content_filter"), DONE],
    "refusal-stop": lambda: [*text(REFUSAL), *END],
    "refusal-field": lambda: [chunk(refusal="I'm sorry."), chunk(refusal=" No."), *END],
    "filtered": lambda: [*text("Thank you for that. "), chunk("content_filter"), DONE],
    "cut": lambda: [*text("Thank you for that. ", "Before we"), chunk("length"), DONE],
    "cut-vendor": lambda: [*text("Thank you for that. ", "Before we"), chunk("MAX_TOKENS"), DONE],
    "late": lambda: itertools.chain(HELLO, itertools.repeat(chunk(content=LATE))),
}


STORY = "One two three four five six seven eight nine ten eleven twelve."


def weather(messages: list[dict[str, Any]]) -> list[bytes]:
    """Asks for the weather, and tells the result once that is the newest message but for what to
    do with it."""
    newest = [message for message in messages if message["role"] != "system"][-1:]
    if newest and newest[0]["role"] == "tool":
        return [*text(f"It is {newest[0]['content']} there."), *END]
    arguments = '{"place":"Leeds"}'
    return [called(0, "call_w", "weather", arguments), chunk("tool_calls"), USAGE, DONE]


def unmarked(messages: list[dict[str, Any]]) -> list[bytes]:
    """Reasons without the opening mark, as long as the newest words say, in characters; "0" is
    without reasoning."""
    length = int(messages[-1]["content"])
    reasoning = [*text(*["Hm, a hard one. "] * (length // 16)), *text("</think>")]
    return [*(reasoning if length else ()), *text("Why not?"), *END]


CONVERSATIONS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "unmarked": unmarked,
    "story": lambda messages: [*text(STORY), *END],
    "weather": weather,
    "parrot": lambda messages: [*text(f"You said {messages[-1]['content']}."), *END],
}
"""Chats that depend on the messages before them."""


PICKY = (
    *("system-first", "template", "user-last", "no-system", "mute", "mute-always", "reasoner"),
    *("short", "strict", "no-tools", "narrow", "bad-tool", "low-limit", "mute-dies"),
)
"""Chats that refuse a request for its form, and else say hello."""


def completion(content: Any, finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


WHOLE: dict[str, Any] = {
    "whole-cut": completion("Thank you for that. Before we", "length"),
    "whole-filtered": completion("Thank you for that. ", "content_filter"),
    "whole-endless": completion("Thank you for that. ", ""),
}
"""Replies of a server that does not stream."""


def opinion(messages: list[dict[str, str]]) -> dict[str, Any]:
    """What a chat model says that judges interviews: 80 of 100 in everything."""
    rules, task = messages[0]["content"], messages[1]["content"]
    advice = {"strengths": ["Clear."], "improvements": ["Shorter."], "next_step": "Practise."}
    if "JudgedAnswer" in rules:
        mark = {"score": 80, "reason": "One can follow it.", "quote": ""}
        return dict.fromkeys(("coverage", "structure", "specificity", "length"), mark)
    if "ToldInterview" in rules:
        answers = [advice] * task.count('"candidate": ')
        return {"headline": "Well told", "overall": advice, "answers": answers}
    return {"summary": "It went well."}


COMPLETIONS: dict[str, Any] = {
    "hello": completion('{"hello": "there"}'),
    "plain": completion('{"hello": "there"}'),
    "cut": completion('{"hello": "th', "length"),
    "empty": completion(" "),
    "no-text": completion([7]),
    "strings": completion(['{"hello": ', '"there"}']),
    "no-choices": {"choices": []},
    "no-object": ["hello"],
    "error": {"error": {"message": "out of memory"}},
    "long": completion("x" * (100 << 10)),
    "huge": completion("x" * (1 << 20)),
    "prose": completion("That was a good answer. I would give it 80 points."),
    "judge": lambda fields: completion(json.dumps(opinion(fields["messages"]))),
}


JSON, EVENTS = "application/json", "text/event-stream"
WORDS = text(*THANKS)
CHUNKS = [each.removeprefix(b"data: ").rstrip() for each in (*WORDS, STOP)]
WHOLE_REPLY = completion("".join(THANKS))


def usage(**counted: Any) -> list[bytes]:
    """The words, each with a usage as some servers send it."""
    return [sse({**json.loads(each[6:]), "usage": counted["usage"]}) for each in WORDS]


def second(each: bytes, content: str) -> bytes:
    """A chunk behind which the same chunk comes for another choice."""
    other = {"index": 1, "delta": {"content": content}, "finish_reason": None}
    return each + sse({"choices": [other]})


def spread(each: bytes) -> bytes:
    """An event with its JSON on several lines."""
    lines = json.dumps(json.loads(each[6:]), indent=1).splitlines()
    return b"".join(b"data: " + line.encode() + b"\n" for line in lines) + b"\n"


SHAPES: dict[str, tuple[str, bytes]] = {
    "typed-json": (JSON, b"".join([*WORDS, *END])),
    "typed-plain": ("text/plain; charset=utf-8", b"".join([*WORDS, *END])),
    "typed-not": ("", b"".join([*WORDS, *END])),
    "whole-as-events": (EVENTS, json.dumps(WHOLE_REPLY, indent=2).encode()),
    "whole-with-bom": (JSON, b"\xef\xbb\xbf" + json.dumps(WHOLE_REPLY).encode()),
    "whole-in-event": (EVENTS, b"".join([sse(WHOLE_REPLY), DONE])),
    "ndjson": ("application/x-ndjson", b"\n".join([*CHUNKS, b""])),
    "ndjson-as-json": (JSON, b"\n".join(CHUNKS)),
    "no-blank-lines": (EVENTS, b"".join(each.rstrip() + b"\n" for each in (*WORDS, *END))),
    "crlf": (EVENTS, b"".join([*WORDS, *END]).replace(b"\n", b"\r\n")),
    "named-events": (EVENTS, b"".join(b"event: m\nid: 1\n" + each for each in (*WORDS, *END))),
    "beats": (EVENTS, b"".join([sse("ping"), sse("null"), *WORDS, sse({"type": "ping"}), *END])),
    "done-quoted": (EVENTS, b"".join([*WORDS, sse('"[done]"')])),
    "usage-as-text": (EVENTS, b"".join([*usage(usage={"prompt_tokens": "9"}), *END])),
    "usage-as-list": (EVENTS, b"".join([*usage(usage=[1]), *END])),
    "two-choices": (EVENTS, b"".join([*(second(each, "No! ") for each in WORDS), *END])),
    "choices-no-list": (EVENTS, b"".join([sse({"choices": {"a": 1}}), *WORDS, *END])),
    "value": (
        EVENTS,
        b"".join([*(chunk(content=[{"text": {"value": p}}]) for p in THANKS), *END]),
    ),
    "bom": (EVENTS, b"\xef\xbb\xbf: hi\r\n\r\n" + b"".join([*WORDS, *END])),
    "cr": (EVENTS, b"".join([*WORDS, *END]).replace(b"\n", b"\r")),
    "no-spaces": (EVENTS, b"".join([*WORDS, *END]).replace(b"data: ", b"data:")),
    "many-lines": (EVENTS, b"".join(spread(each) for each in (*WORDS, STOP)) + DONE),
    "comments": (EVENTS, b": ping\n\n".join([*WORDS, *END])),
    "retry": (EVENTS, b"retry: 3000\n\nid: 1\n\n" + b"".join([*WORDS, *END])),
    "done-bare": (EVENTS, b"".join([*WORDS, sse("DONE")])),
    "no-end": (EVENTS, b"".join([*WORDS, USAGE])),
    "delta-null": (EVENTS, b"".join([sse({"choices": [{"delta": None}]}), *WORDS, *END])),
    "choice-null": (EVENTS, b"".join([sse({"choices": [None]}), *WORDS, *END])),
    "choice-empty": (EVENTS, b"".join([sse({"choices": [{}]}), *WORDS, *END])),
    "delta-text": (
        EVENTS,
        b"".join([*(sse({"choices": [{"delta": p}]}) for p in THANKS), *END]),
    ),
    "calls-empty": (EVENTS, b"".join([*(chunk(content=p, tool_calls=[]) for p in THANKS), *END])),
    "calls-null": (EVENTS, b"".join([*(chunk(content=p, tool_calls=None) for p in THANKS), *END])),
    "enveloped": (
        EVENTS,
        b"".join([sse({"code": 0, "msg": "ok", "data": json.loads(c)}) for c in CHUNKS]),
    ),
    "ollama": (
        "application/x-ndjson",
        b"".join(
            json.dumps({"message": {"role": "assistant", "content": p}, "done": False}).encode()
            + b"\n"
            for p in THANKS
        )
        + b'{"message":{"role":"assistant","content":""},"done_reason":"stop","done":true}\n',
    ),
    "ollama-generate": (
        "application/x-ndjson",
        b"".join(json.dumps({"response": p, "done": False}).encode() + b"\n" for p in THANKS)
        + b'{"response":"","done":true,"total_duration":5}\n',
    ),
    "ollama-whole": (
        JSON,
        json.dumps({"message": {"content": "".join(THANKS)}, "done": True}).encode(),
    ),
    "workers-ai": (EVENTS, b"".join([*(sse({"response": p}) for p in THANKS), DONE])),
    "llama": (
        EVENTS,
        b"".join(
            [
                *(sse({"content": p, "stop": False}) for p in THANKS),
                sse({"content": "", "stop": True}),
            ]
        ),
    ),
    "tgi": (
        EVENTS,
        b"".join(
            [
                *(sse({"token": {"text": p}, "generated_text": None}) for p in THANKS),
                sse({"token": {"text": "</s>", "special": True}, "generated_text": "Thank you"}),
            ]
        ),
    ),
    "anthropic": (
        EVENTS,
        b"".join(
            [
                sse({"type": "message_start", "message": {"content": [], "stop_reason": None}}),
                sse({"type": "content_block_delta", "delta": {"thinking": "Hm."}}),
                *(
                    sse({"type": "content_block_delta", "delta": {"type": "text_delta", "text": p}})
                    for p in THANKS
                ),
                sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
                sse({"type": "message_stop"}),
            ]
        ),
    ),
    "cohere": (
        EVENTS,
        b"".join(
            [
                *(
                    sse({"type": "content-delta", "delta": {"message": {"content": {"text": p}}}})
                    for p in THANKS
                ),
                sse({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
            ]
        ),
    ),
    "cohere-old": (
        EVENTS,
        b"".join(
            [
                *(sse({"event_type": "text-generation", "text": p}) for p in THANKS),
                sse({"event_type": "stream-end", "finish_reason": "COMPLETE"}),
            ]
        ),
    ),
    "responses": (
        EVENTS,
        b"".join(
            [
                sse({"type": "response.created", "response": {"error": None}}),
                *(sse({"type": "response.output_text.delta", "delta": p}) for p in THANKS),
                sse({"type": "response.output_text.done", "text": "".join(THANKS)}),
                sse({"type": "response.completed", "response": {"status": "completed"}}),
            ]
        ),
    ),
    "gemini": (
        EVENTS,
        b"".join(
            [
                sse({"candidates": [{"content": {"parts": [{"text": "Hm.", "thought": True}]}}]}),
                *(sse({"candidates": [{"content": {"parts": [{"text": p}]}}]}) for p in THANKS),
                sse({"candidates": [{"finishReason": "STOP"}]}),
            ]
        ),
    ),
    "calls-unasked": (EVENTS, b"".join([*WORDS, chunk(tool_calls=[{"index": "a"}]), *END])),
    "page": ("text/html", b"<!doctype html><title>Sign in</title>"),
    "error-as-events": (EVENTS, b'{"error": {"message": "no such model"}}'),
    "error-line": (EVENTS, HELLO[0] + b'{"error": {"message": "out of memory"}}\n\n'),
    "error-event": (EVENTS, b"".join([HELLO[0], sse({"type": "error", "message": "full"}), DONE])),
    "error-detail": (EVENTS, b"".join([HELLO[0], sse({"detail": "crashed"}), DONE])),
    "refusal-part": (
        EVENTS,
        b"".join([chunk(content=[{"type": "refusal", "refusal": REFUSAL}]), *END]),
    ),
    "halves": (EVENTS, b"".join([chunk(content="Well \ud83d"), chunk(content="\ude00!"), *END])),
    "controls": (EVENTS, b"".join([*text("\x00\u200bWell\x1b", "\ufeff."), *END])),
    "other-side": (EVENTS, b"".join([*WORDS, *text("\n\nUser: I", " did.\n"), *END])),
}
"""Replies as bytes, with their media types."""


async def complete(call: Call, model: str) -> None:
    if model == "stall":
        await call.stream("application/json", paused([b'{"choices": [', HANG]))
    elif model == "html":
        await call.stream("text/html", paused([b"<p>Welcome</p>"]))
    elif model == "plain" and "response_format" in call.fields:
        await call.json({"error": {"message": "response_format is not supported"}}, 400)
    else:
        value = COMPLETIONS[model]
        await call.json(value(call.fields) if callable(value) else value)


def rejection(model: str, fields: dict[str, Any]) -> tuple[int, Any] | None:
    """Why a picky server refuses a chat, as status and body; None where it takes it.

    The servers are those of docs/compatibility.md; the words are ours.
    """
    roles = [message["role"] for message in fields["messages"]]
    turns = [role for role in roles if role != "system"]
    match model:
        case "system-first" if "system" in roles[1:]:
            return 400, {"error": {"message": "System message must be at the beginning."}}
        case "template" if "system" in roles[1:] or turns[::2] != ["user"] * len(turns[::2]):
            text = "Conversation roles must alternate user/assistant/user/assistant/..."
            return 500, {"error": {"code": 500, "message": text, "type": "server_error"}}
        case "user-last" if roles[-1] != "user":
            return 400, {"detail": "the last message must have the role 'user'"}
        case "no-system" if "system" in roles:
            return 400, {"error": "System role not supported"}
        case "mute" if "system" in roles[1:] or "stream_options" in fields:
            return 400, "Bad Request"
        case "mute-always":
            return 400, "Bad Request"
        case "reasoner" if "max_tokens" in fields:
            text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": text, "param": "max_tokens"}}
        case "reasoner" if "temperature" in fields:
            text = "Unsupported value: only the default (1) is supported with this model."
            return 400, {"error": {"message": text, "param": "temperature"}}
        case "short" if fields.get("max_tokens", 0) > 64:
            return 400, {"error": {"message": "max_tokens must be at most 64"}}
        case "strict" if "stream_options" in fields:
            entry = {"type": "extra_forbidden", "loc": ["body", "stream_options"]}
            text = "Extra inputs are not permitted"
            return 422, {"detail": [{**entry, "msg": text, "input": {"temperature": 1}}]}
        case "no-tools" if "tools" in fields:
            return 400, {"error": {"message": "this model does not support tools"}}
        case "bad-tool" if any("bad" in str(tool) for tool in fields.get("tools", ())):
            text = "Invalid schema for function 'bad': 'x' is not a supported type."
            return 400, {"error": {"message": text, "param": "tools[0].function.parameters"}}
        case "low-limit" if fields.get("max_tokens", 0) > 2048:
            text = "max_tokens is too large: 4096. This model supports at most 2048 tokens."
            return 400, {"error": {"message": text, "param": "max_tokens"}}
        case "mute-dies":
            return (400, "Bad Request") if "stream_options" in fields else (500, "gone")
        case "narrow" if sum(len(m["content"] or "") for m in fields["messages"]) > 9_000:
            text = "This model's maximum context length is 4096 tokens; reduce max_tokens."
            return 400, {"error": {"message": text, "code": "context_length_exceeded"}}
    return None


async def chat(call: Call, model: str) -> None:
    if model in PICKY:
        if (refused := rejection(model, call.fields)) is not None:
            await call.json(refused[1], refused[0])
            return
        model = "hello"
    if not call.fields.get("stream"):
        await complete(call, model)
    elif model == "json":
        await call.json({"error": {"message": "streaming is not supported"}})
    elif model == "whole":
        await call.json(completion("Thank you. What did you measure?"))
    elif model in WHOLE:
        await call.json(WHOLE[model])
    elif model == "gzip":
        await call.start("text/event-stream", content_encoding="gzip")
        await call.write(gzip.compress(b"".join([*HELLO, *END])), more=False)
    elif model == "brotli":
        await call.start("text/event-stream", content_encoding="br")
        await call.write(b"\x0b\x02\x80abc\x03", more=False)
    elif model == "bomb":
        await call.start("text/event-stream", content_encoding="gzip")
        await call.write(gzip.compress(bytes(1 << 24)), more=False)
    elif model in SHAPES:
        kind, body = SHAPES[model]
        await call.start(kind)
        await call.write(body, more=False)
    elif model in CONVERSATIONS:
        steps = CONVERSATIONS[model](call.fields["messages"])
        await call.stream("text/event-stream", paused(steps))
    else:
        await call.stream("text/event-stream", paused(CHATS[model]()))


# --- transcription ---------------------------------------------------------------------------

VERBOSE = {
    "language": "english",
    "duration": 2.0,
    "text": " Hello there. ",
    "segments": [
        {"start": 0.0, "end": 0.5, "avg_logprob": -0.1},
        {"start": 0.5, "end": 2.0, "avg_logprob": -0.5},
    ],
    "words": [
        {"word": "Hello", "start": 0.12, "end": 0.5},
        {"word": "there.", "start": 0.5, "end": 1.0},
    ],
}
DELTAS = [sse({"type": "transcript.text.delta", "delta": d}) for d in ("Hello", "", " there.")]
FINAL = sse({"type": "transcript.text.done", "text": "Hello there.", "languages": [{"code": "en"}]})

TRANSCRIPTS: dict[str, Any] = {
    "verbose": VERBOSE,
    "plain": {"text": "Hello there."},
    "nothing": {"text": ""},
    "list": ["Hello"],
    "no-text": {"text": None},
    "error": {"error": "the model is gone"},
    "long": {"text": "x" * (2 << 20)},
    "wild": {"text": "thank you " * 5000},
    "whisper": VERBOSE,
}
STREAMED: dict[str, list[Any]] = {
    "sse": [*DELTAS, FINAL, DONE],
    "sse-eof": DELTAS,
    "sse-wild": [sse({"type": "transcript.text.delta", "delta": "thank you " * 500})] * 9,
    "sse-done": [*DELTAS, DONE],
    "sse-stall": [*DELTAS, HANG],
}


async def transcribe(call: Call, model: str) -> None:
    if model in ("json-only", "bad-audio"):
        if model == "bad-audio" or call.fields["response_format"] != "json":
            await call.json({"detail": "response_format must be json"}, 400)
        else:
            await call.json(TRANSCRIPTS["plain"])
    elif model in STREAMED:
        await call.stream("text/event-stream; charset=utf-8", paused(STREAMED[model]))
    elif model == "refuses":  # the form field whose name is in the model's
        name = call.fields["model"].partition("/")[2]
        if call.fields.get(name) == "xx" if name == "language" else name in call.fields:
            await call.json({"error": {"message": f"Unsupported parameter: '{name}'"}}, 400)
        else:
            await call.json(VERBOSE)
    elif model == "says":  # the reply, or the list of its events, is in the model's name
        said = json.loads(call.fields["model"].partition("/")[2])
        if isinstance(said, dict):
            await call.json(said)
        else:
            await call.stream("text/event-stream", paused([sse(event) for event in said]))
    else:
        await call.json(TRANSCRIPTS[model])


# --- speech ----------------------------------------------------------------------------------


def tone(seconds: float = 1.0) -> bytes:
    """Loud for its first half, silent in its second."""
    count = int(TONE_HZ * seconds)
    loud = (math.sin(2 * math.pi * 440 * n / TONE_HZ) * (n < count / 2) for n in range(count))
    return struct.pack(f"<{count}h", *(round(9000 * value) for value in loud))


def wav(rate_hz: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(tone())
    return file.getvalue()


def cut(data: bytes, *sizes: int) -> list[bytes]:
    parts, sizes_again = [], itertools.cycle(sizes)
    while data:
        size = next(sizes_again)
        parts.append(data[:size])
        data = data[size:]
    return parts


SPEECH: dict[str, Callable[[], Any]] = {
    "tone": lambda: cut(tone(), 4096),
    "picky": lambda: cut(tone(), 4096),
    "odd": lambda: cut(tone(), 1, 3, 4097, 5),
    "half": lambda: [tone()[:9601]],
    "wav": lambda: cut(wav(TONE_HZ), 7, 30, 4096),
    "wav-16k": lambda: [wav(16_000)],
    "wav-stereo": lambda: [wav(TONE_HZ, channels=2)],
    "wav-head": lambda: [wav(TONE_HZ)[:20]],
    "mp3": lambda: [b"\xff\xfb\x90\x64" + bytes(400)],
    "mp3-tagged": lambda: [b"ID3\x04" + bytes(400)],
    "page": lambda: [b"<!doctype html><title>Welcome</title>" * 20],
    "bytewise": lambda: itertools.chain.from_iterable((1.0, bytes([b])) for b in tone()),
    "late": lambda: itertools.repeat(tone()),
    "stall": lambda: [tone(), HANG],
    "reset": lambda: [tone(), Abort()],
    "empty": lambda: [],
    "endless": lambda: itertools.repeat(tone()),
}


async def speak(call: Call, model: str) -> None:
    if model == "picky" and call.fields["voice"] != "alloy":
        await call.json({"error": {"message": "no such voice"}}, 400)
    elif model == "json":
        await call.json({"error": {"message": "no such voice"}})
    elif model == "html":
        await call.stream("text/html", paused([b"<p>Welcome</p>"]))
    elif model == "rate":
        await call.stream("audio/pcm;rate=16000", paused([tone()]))
    else:
        await call.stream("" if model == "odd" else "audio/pcm", paused(SPEECH[model]()))


# --- the server ------------------------------------------------------------------------------


async def refuse(call: Call, model: str) -> bool:
    """The faults that all endpoints have. False if this is none of them."""
    key = call.headers.get("authorization", "")
    match model:
        case "silent":
            await asyncio.Event().wait()
        case "busy":
            await call.json({"error": {"message": "slow down"}}, 429, retry_after="7")
        case "unavailable":
            await call.json({"error": "loading model"}, 503)
        case "overloaded":
            await call.json({"error": "overloaded"}, 529, retry_after_ms="1500")
        case "timed-out":
            await call.json({"error": "request timeout"}, 408)
        case "back-soon":
            await call.json({"error": {"message": "out of memory"}}, 500, retry_after="30")
        case "bad":
            await call.json({"error": {"message": f"invalid key {key}\n\x1b[31m" + "x" * 999}}, 400)
        case "missing":
            await call.json({"error": "model 'missing' not found"}, 404)
        case "unauthorized":
            await call.json({"detail": [{"msg": "no key"}]}, 401)
        case "broken":
            await call.start("text/html", 500)
            await call.write(b"<h1>Internal Server Error</h1>", more=False)
        case "coded":
            said = gzip.compress(b'{"error": {"message": "no such voice"}}')
            await call.start("application/json", 400, content_encoding="gzip")
            await call.write(said, more=False)
        case "half-said":
            await call.start("text/plain", 400)
            await call.write(b"the reason is")
            await asyncio.Event().wait()
        case "redirect":
            await call.json({}, 302, location="/v1/elsewhere")
        case _:
            return False
    return True


class Peer:
    """The ASGI application."""

    def __init__(self) -> None:
        self.requests: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.gone: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        call = Call(scope, body, send)
        full = self.named(call)
        work = asyncio.create_task(self.answer(call, full))
        watch = asyncio.create_task(receive())
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self.gone[full].set()
            if full.startswith("late"):  # goes on as if nobody had left
                await asyncio.wait((work,), timeout=0.1)
            work.cancel()
        watch.cancel()
        await asyncio.wait((work, watch))
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    def named(self, call: Call) -> str:
        """The model that a call asks for or asks about."""
        return str(call.fields.get("model") or call.query.get("model", ""))

    async def answer(self, call: Call, full: str) -> None:
        model = full.partition("/")[0]
        match call.path:
            case "/requests":
                await call.json(self.requests[full])
                return
            case "/disconnects":
                await self.gone[full].wait()
                await call.json({"model": full})
                return
        asked = {"path": call.path, "client": call.client, "headers": call.headers}
        asked["query"] = call.query
        self.requests[full].append({**asked, **call.fields})
        if await refuse(call, model):
            return
        match call.path:
            case "/v1/chat/completions" | "/openai/deployments/gpt/chat/completions":
                await chat(call, model)
            case "/v1/audio/transcriptions":
                await transcribe(call, model)
            case "/v1/audio/speech":
                await speak(call, model)
            case "/v1/models":
                await call.json({"object": "list", "data": [{"id": "hello", "object": "model"}]})
            case "/guarded/models":
                await refuse(call, "unauthorized")
            case "/broken/models":
                await refuse(call, "broken")
            case "/silent/models":
                await refuse(call, "silent")
            case _:
                await call.json({"error": "no such page"}, 404)


def serve(peer: Peer) -> None:
    """Serve until stdin ends, on the port that the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", parser.parse_args().port))
        listener.listen()  # whoever reads the port may come before the server runs
        config = uvicorn.Config(
            peer, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)

        def wait_for_end() -> None:
            sys.stdin.read()
            server.should_exit = True

        threading.Thread(target=wait_for_end, daemon=True).start()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    serve(Peer())

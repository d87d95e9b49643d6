import httpx
import pytest

from benchmarks.stored import StoredAnswer, stored_answers


def line(speaker: str, text: str, recogniser: str | None = None) -> dict[str, object]:
    recognition = None if recogniser is None else {"provider": recogniser}
    return {"speaker": speaker, "text": text, "recognition": recognition}


def gateway(request: httpx.Request) -> httpx.Response:
    """A gateway with three sessions on two pages; nothing was answered in the last of them."""
    match request.url.path, request.url.params.get("cursor"):
        case "/api/sessions", None:
            return httpx.Response(
                200, json={"sessions": [{"session_id": "one"}, {"session_id": "two"}], "next": "x"}
            )
        case "/api/sessions", "x":
            return httpx.Response(200, json={"sessions": [{"session_id": "mute"}], "next": None})
        case "/api/sessions/one/report", _:
            spoken = line("candidate", "We measured it.", "whisper")
            asked = line("interviewer", "How?")
            return httpx.Response(200, json={"transcript": [asked, spoken]})
        case "/api/sessions/two/report", _:
            return httpx.Response(200, json={"transcript": [line("candidate", "typed")]})
        case "/api/sessions/mute/report", _:
            return httpx.Response(409)
    return httpx.Response(404)


def test_the_answers_of_all_sessions_are_read() -> None:
    assert stored_answers("http://gateway", httpx.MockTransport(gateway)) == {
        "one": (StoredAnswer("We measured it.", "whisper"),),
        "two": (StoredAnswer("typed", None),),
        "mute": (),
    }


def test_a_gateway_that_fails_is_no_gateway_without_answers() -> None:
    down = httpx.MockTransport(lambda request: httpx.Response(503))
    with pytest.raises(httpx.HTTPStatusError):
        stored_answers("http://gateway", down)

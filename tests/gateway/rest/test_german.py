"""A whole interview over HTTP in German: written, uploaded, spoken as a file, and reported."""

from typing import Any

import httpx

from stages.fakes import FakeTranscriber
from stages.interview.lines import lines_for
from tests.support.interviews import made, typed, uploaded

STORY = (
    "Letztes Jahr hatten wir eine Abfrage, die zwölf Sekunden brauchte. Meine Aufgabe war es, sie "
    "schneller zu machen. Zuerst habe ich gemessen, dann habe ich einen Index angelegt und den "
    "Cache neu geschrieben. Am Ende war sie um 90 Prozent schneller, und die Kunden waren "
    "zufrieden."
)
HEARD = "Ich habe den Dienst neu gestartet und dann die Ursache in den Protokollen gefunden"


class EnglishOnly(FakeTranscriber):
    languages = ("en",)


def test_an_upload_that_nobody_here_understands_is_refused_for_good(gateway: Any) -> None:
    gateway.transcriber = EnglishOnly()

    async def story() -> None:
        base = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=base, timeout=20) as client:
            path = await made(client, total=3, language="de")
            await client.post(f"{path}/start")
            refused = await uploaded(client, path)
            assert (refused.status_code, refused.json()["code"]) == (409, "language_not_recognised")
            assert "retry-after" not in refused.headers
            assert (await typed(client, path, STORY)).status_code == 200

    gateway.run(story)


def test_an_interview_in_german(gateway: Any) -> None:
    gateway.transcriber = FakeTranscriber(texts=(HEARD,), language="de")

    async def story() -> None:
        base = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=base, timeout=20) as client:
            await scenario(client)

    async def scenario(client: httpx.AsyncClient) -> None:
        path = await made(client, total=3, language="de-AT", evaluation="evaluate")
        first = (await client.post(f"{path}/start?audio=true")).json()
        assert first["question"]["said"].startswith("Guten Tag, ich bin Parley")
        assert first["audio"]["duration_ms"] > 100
        again = (await typed(client, path, "Können Sie das bitte wiederholen?")).json()
        assert again["answer"]["counted"] is False
        assert again["reply"].startswith(lines_for("de").repeats)
        second = (await typed(client, path, STORY)).json()
        assert second["evaluation"]["unscored"] is None
        heard = (await uploaded(client, path)).json()
        assert heard["answer"]["text"] == HEARD
        assert set(gateway.transcriber.told) == {"de"}
        last = (await typed(client, path, "Ich weiß es leider nicht.")).json()
        assert last["interview"]["isComplete"] is True
        ended = (await client.post(f"{path}/end")).json()
        assert ended["summary"]["text"].startswith("Sie haben 3 von 3 Fragen beantwortet.")
        report = (await client.get(f"{path}/report")).json()
        assert (report["language"], report["scored"]) == ("de", 2)
        assert report["items"][2]["evaluation"]["unscored"].startswith("Nicht bewertet: ")
        assert "nicht als Urteil" in (await client.get(f"{path}/report?format=html")).text
        assert "nicht als Urteil" in (await client.get(f"{path}/report?format=markdown")).text

    gateway.run(story)

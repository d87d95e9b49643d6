"""The names in `/openapi.json`, from which clients are generated."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.gateway import Gateway

SCHEMAS = """
Alive Audio ContractConfig ContractMessage ContractSession ContractSummary Ended EvaluationBody
GatewayHealth Health InvalidField MadeSession ModelCard ModelList NewConsent NewOffer NewSession
OfferAnswer OfflineService OnlineService ProblemDetails Progress ProviderReport QueueReport Ready
Recordings ReportBody RespondRequest Selected Selection SessionPage SessionSummary ShownConsent
ShownQuestion ShownRecording ShownSession StageReport StartRequest StoreReport Summary
SummaryRequest TakenAnswer TakenTurn Turn TypedAnswer UploadedAnswer
"""


def test_no_schema_has_another_name_than_before(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    found: dict[str, Any] = {}

    async def story() -> None:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{gateway.port}/openapi.json")
            found.update(answer.json()["components"]["schemas"])

    gateway.run(story)
    assert set(SCHEMAS.split()) - found.keys() == set()

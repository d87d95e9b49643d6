"""`GET /metrics`, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.observe.scrape import Scrape
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ONLY_HERE, OperatorAccess


def metrics_operations(scrape: Scrape, access: OperatorAccess) -> list[Operation]:
    """The page of metrics; `docs/operations.md` lists them."""

    async def metrics(request: Request) -> Response:
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return Response(scrape.page(), headers=headers, media_type=scrape.content_type)

    return [
        Operation(
            method="GET",
            path="/metrics",
            name="getMetrics",
            handler=metrics,
            summary="Figures for Prometheus",
            description="In the text format, version 0.0.4. Open to clients on the same machine;"
            " others send PARLEY_ADMIN_KEY as a bearer token.",
            tags=("operation",),
            answers={200: ResponseSpec("The figures", media=("text/plain",))},
            guard=access.metrics,
            errors=(ADMIN_KEY_REQUIRED, ONLY_HERE),
        )
    ]

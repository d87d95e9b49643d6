"""Consent to keep what a candidate says."""

from pydantic import BaseModel, ConfigDict


class Consent(BaseModel):
    """Consent to keep the spoken answers of a session: by whom, and when (seconds since 1970).

    A withdrawal is noted in `gateway.interviews.recordings`.
    """

    model_config = ConfigDict(frozen=True)

    by: str
    at: float

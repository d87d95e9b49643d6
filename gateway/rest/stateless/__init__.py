"""The stateless desktop API: text interviews whose whole state is kept by the client.

`StatelessInterviews` holds the interviews, `ModelCatalogue` lists the models that a client may
choose, and `Services` makes both from the settings.
"""

from gateway.rest.stateless.interviews import StatelessInterviews, session_of
from gateway.rest.stateless.models import FALLBACK_MODELS, ModelCatalogue, UnknownModel
from gateway.rest.stateless.services import Services

__all__ = [
    "FALLBACK_MODELS",
    "ModelCatalogue",
    "Services",
    "StatelessInterviews",
    "UnknownModel",
    "session_of",
]

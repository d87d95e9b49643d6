"""The error code and close code for a client whose session cannot begin."""

from gateway.interviews.sessions import SessionTaken
from gateway.live.assistant import NoAssistant
from gateway.live.registry import StillEnding
from gateway.live.returning import CannotResume
from gateway.protocols.dialect import CloseCode
from stages.interview import InterviewError

Refusal = InterviewError | SessionTaken | NoAssistant | CannotResume


def told(error: Refusal) -> tuple[str, str, CloseCode]:
    """The error's code, its text, and the close code of the connection."""
    close = CloseCode.POLICY
    match error:
        case InterviewError():
            code = "interview"
        case StillEnding():
            code, close = "still_ending", CloseCode.OVERLOADED
        case SessionTaken():
            code = "already_connected"
        case NoAssistant():
            code = "model_not_found"
        case _:
            code = "cannot_resume"
    return code, str(error), close

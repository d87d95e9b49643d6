"""Twilio's Media Streams: telephone calls as sessions. `docs/twilio.md` documents it. Pure.

`messages` reads Twilio's messages, `parameters` reads what a call asks for, `marks` tells what the
caller has heard, and `TwilioDialect` uses them for one call. `twiml` writes the instructions for a
call that comes in.
"""

from gateway.protocols.twilio.dialect import TwilioDialect, greeting

__all__ = ["TwilioDialect", "greeting"]

"""Twilio's Media Streams: telephone calls as sessions. `docs/twilio.md` documents it. Pure.

`messages` reads what Twilio sends, `parameters` what a call asks for, `marks` tells what the caller
has heard, and `TwilioDialect` does the whole for one call. `twiml` writes what Twilio is to do with
a call that comes in.
"""

from gateway.protocols.twilio.dialect import TwilioDialect, greeting

__all__ = ["TwilioDialect", "greeting"]

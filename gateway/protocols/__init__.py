"""Wire dialects as pure codecs: bytes in, events out, and back. No I/O, no clock."""

"""Audio on the wire, to and from the engine's samples.

`format` and `opus_packets` say what bytes hold, without a codec; `g711`, `opus` and `resampling`
convert; `codecs` has a reader and a writer for every format.
"""

__all__: list[str] = []

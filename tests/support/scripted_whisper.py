"""A tiny Whisper model that always says its script: real files, real decoder, no download.

All weights are zero but a few that make the decoder a chain: the embedding of each symbol points at
the dimension that its successor is projected from. So the text depends on nothing but the previous
token, and prompts do no harm. Cross-attention looks at one time slot per word, which makes word
timestamps exact. The audio does not matter.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2.specs import whisper_spec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

_WIDTH = 64
_HEADS = 2
_MULTILINGUAL_SIZE = 51_865
_MULTILINGUAL_MARK = ""
"""CTranslate2 takes a model for multilingual by its vocabulary: older versions by its size, newer
ones by its empty token."""

_POINT = 10.0
_CHOOSE = 3.0
_LANGUAGES = ("en", "zh", "de", "es", "fr")
_TIME_STEP_S = 0.02
_POSITIONS = 1500


def build(
    directory: Path,
    words: str,
    duration_s: float,
    language: str | None = None,
    bands: int = 80,
) -> Path:
    """Write the model into `directory`; it says `words`, evenly spread over `duration_s`.

    The words must be unique and fewer than 31. `language` None makes an English-only model; a code
    makes a multilingual one that detects this language. `bands` are those of the spectrum: 80, or
    128 as in large-v3.
    """
    script = words.split()
    if len(set(script)) < len(script) or len(script) > _WIDTH // _HEADS - 2:
        raise ValueError("the script's words must be unique and fewer than 31")
    directory.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spoken = ["Ġ" + word for word in script]
    languages = ("en",) if language is None else _LANGUAGES
    specials = [
        *("<|endoftext|>", "<|startoftranscript|>"),
        *(f"<|{code}|>" for code in languages),
        *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
        *("<|nospeech|>", "<|notimestamps|>"),
        *(f"<|{index * _TIME_STEP_S:.2f}|>" for index in range(1501)),
    ]
    texts = [*alphabet, *spoken]
    if language is not None:
        missing = _MULTILINGUAL_SIZE - len(texts) - len(specials)
        texts += [f"Ġunused{index}" for index in range(missing)]
    tokens = [*texts, *specials, *([] if language is None else [_MULTILINGUAL_MARK])]
    ids = {token: index for index, token in enumerate(tokens)}

    start, end = (f"<|{at_s:.2f}|>" for at_s in (0.0, duration_s))
    chain = [ids[token] for token in (start, *spoken, end, "<|endoftext|>")]
    prompts = {"<|startoftranscript|>": 0, "<|transcribe|>": 0, "<|notimestamps|>": 1}
    prompts |= {f"<|{code}|>": 0 for code in languages}
    embeddings = np.zeros((len(tokens), _WIDTH), np.float32)
    projection = np.zeros((len(tokens), _WIDTH), np.float32)
    for index, token in enumerate(chain):
        embeddings[token, index + 1] = _POINT
        projection[token, index] = _CHOOSE
    for word, dimension in prompts.items():
        embeddings[ids[word], dimension] = _POINT
    if language is not None:
        # The language is read off what follows the very first token: a dimension of its own.
        embeddings[ids["<|startoftranscript|>"]] = 0
        embeddings[ids["<|startoftranscript|>"], _WIDTH - 1] = _POINT
        projection[ids[f"<|{language}|>"], _WIDTH - 1] = _CHOOSE

    spec = _spec(embeddings, projection, len(script), duration_s, bands)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in languages]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize()
    spec.save(str(directory))

    tokenizer = Tokenizer(models.BPE(vocab={token: ids[token] for token in texts}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.save(str(directory / "tokenizer.json"))
    features = {
        "feature_size": bands,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(features))
    return directory


def _spec(
    embeddings: npt.NDArray[np.float32],
    projection: npt.NDArray[np.float32],
    words: int,
    duration_s: float,
    bands: int,
) -> Any:
    spec = whisper_spec.WhisperSpec(1, _HEADS, 1, _HEADS)
    encoder, decoder = spec.encoder, spec.decoder

    encoder.conv1.weight, encoder.conv1.bias = _zeros(_WIDTH, bands, 3), _zeros(_WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = _zeros(_WIDTH, _WIDTH, 3), _zeros(_WIDTH)
    slots = (np.arange(_POSITIONS) * _TIME_STEP_S / (duration_s / words)).astype(int)
    encoder.position_encodings.encodings = _zeros(_POSITIONS, _WIDTH)
    encoder.position_encodings.encodings[np.arange(_POSITIONS), np.minimum(slots, _WIDTH - 1)] = (
        _POINT
    )
    decoder.embeddings.weight = embeddings
    decoder.projection.weight = projection
    decoder.position_encodings.encodings = _zeros(448, _WIDTH)

    for layer in (encoder.layer[0], decoder.layer[0]):
        _plain(layer.self_attention.layer_norm)
        _zero(layer.self_attention.linear[0], 3 * _WIDTH)
        _zero(layer.self_attention.linear[1], _WIDTH)
        _plain(layer.ffn.layer_norm)
        _zero(layer.ffn.linear_0, 4 * _WIDTH)
        _zero(layer.ffn.linear_1, _WIDTH, 4 * _WIDTH)
    cross = decoder.layer[0].attention
    _plain(cross.layer_norm)
    for linear, size in zip(cross.linear, (_WIDTH, 2 * _WIDTH, _WIDTH), strict=True):
        _zero(linear, size)
    for word in range(words):
        cross.linear[0].weight[word, word + 1] = 1.0  # the dimension of the token before the word
        cross.linear[1].weight[word, word] = 1.0  # looks at the word's time slot
    _plain(encoder.layer_norm)
    _plain(decoder.layer_norm)
    return spec


def _zeros(*shape: int) -> npt.NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def _plain(norm: Any) -> None:
    norm.gamma, norm.beta = np.ones(_WIDTH, np.float32), _zeros(_WIDTH)


def _zero(linear: Any, rows: int, columns: int = _WIDTH) -> None:
    linear.weight, linear.bias = _zeros(rows, columns), _zeros(rows)

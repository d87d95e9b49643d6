"""A Whisper of real size that has learnt nothing: what the real one costs, without a download.

Width, layers, heads, mels and vocabulary are those of "tiny" (Radford et al., 2022, table 1), the
weights are random and small. The tokens that it says are forced: each one's embedding points at a
dimension from which only its successor is projected, far above the noise.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2.specs import whisper_spec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH, LAYERS, HEADS, MELS, VOCABULARY = 384, 4, 6, 80, 51_865
TOKENS = 40
"""The words of its transcript, "word0 word1 …"."""

_LANGUAGES = ("en", "zh", "de", "es", "fr")
_NOISE = 0.02
_POINT, _CHOOSE = 20.0, 3.0


def build(directory: Path) -> Path:
    """Write the model with all its files; takes some seconds and 150 MB."""
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    texts, specials = _vocabulary()
    # CTranslate2 takes a model with an empty token for a multilingual one.
    tokens = [*texts, *specials, ""]
    ids = {token: index for index, token in enumerate(tokens)}

    spec = whisper_spec.WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    _fill(spec, random)
    spec.decoder.embeddings.weight, spec.decoder.projection.weight = _forced(ids, random)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in _LANGUAGES]
    spec.config.alignment_heads = [(LAYERS - 1, 0)]
    spec.validate()
    spec.optimize()
    spec.save(str(directory))

    tokenizer = Tokenizer(models.BPE(vocab={token: ids[token] for token in texts}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.save(str(directory / "tokenizer.json"))
    features = {
        "feature_size": MELS,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(features), encoding="utf-8")
    return directory


def _vocabulary() -> tuple[list[str], list[str]]:
    """The text tokens and the other tokens, in the order of their numbers."""
    specials = [
        *("<|endoftext|>", "<|startoftranscript|>"),
        *(f"<|{code}|>" for code in _LANGUAGES),
        *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
        *("<|nospeech|>", "<|notimestamps|>"),
        *(f"<|{index * 0.02:.2f}|>" for index in range(1501)),
    ]
    texts = sorted(pre_tokenizers.ByteLevel.alphabet())
    texts += [f"Ġword{index}" for index in range(TOKENS)]
    missing = VOCABULARY - 1 - len(texts) - len(specials)
    return [*texts, *(f"Ġunused{index}" for index in range(missing))], specials


def _forced(
    ids: dict[str, int], random: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Embeddings and projection that make the decoder say its tokens, then end."""
    embeddings = _noise(random, len(ids), WIDTH)
    projection = _noise(random, len(ids), WIDTH)
    said = [ids[f"Ġword{index}"] for index in range(TOKENS)]
    for index, token in enumerate([*said, ids["<|endoftext|>"]]):
        embeddings[token] = projection[token] = 0
        embeddings[token, index + 1] = _POINT
        projection[token, index] = _CHOOSE
    prompts = ("<|transcribe|>", "<|notimestamps|>", *(f"<|{code}|>" for code in _LANGUAGES))
    for prompt in prompts:
        embeddings[ids[prompt]] = 0
        embeddings[ids[prompt], 0] = _POINT
    # The language is read off what follows the very first token: a dimension of its own.
    embeddings[ids["<|startoftranscript|>"]] = 0
    embeddings[ids["<|startoftranscript|>"], -1] = _POINT
    projection[ids["<|en|>"], -1] = _CHOOSE
    return embeddings, projection


def _fill(spec: Any, random: np.random.Generator) -> None:
    encoder, decoder = spec.encoder, spec.decoder
    for convolution, inputs in ((encoder.conv1, MELS), (encoder.conv2, WIDTH)):
        convolution.weight = _noise(random, WIDTH, inputs, 3)
        convolution.bias = _noise(random, WIDTH)
    encoder.position_encodings.encodings = _noise(random, 1500, WIDTH)
    decoder.position_encodings.encodings = _noise(random, 448, WIDTH)
    for layer in (*encoder.layer, *decoder.layer):
        _plain(layer.self_attention.layer_norm)
        _linear(layer.self_attention.linear[0], random, 3 * WIDTH)
        _linear(layer.self_attention.linear[1], random, WIDTH)
        _plain(layer.ffn.layer_norm)
        _linear(layer.ffn.linear_0, random, 4 * WIDTH)
        _linear(layer.ffn.linear_1, random, WIDTH, 4 * WIDTH)
    for layer in decoder.layer:
        _plain(layer.attention.layer_norm)
        for linear, rows in zip(layer.attention.linear, (WIDTH, 2 * WIDTH, WIDTH), strict=True):
            _linear(linear, random, rows)
    _plain(encoder.layer_norm)
    _plain(decoder.layer_norm)


def _noise(random: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return random.standard_normal(shape, np.float32) * np.float32(_NOISE)


def _plain(norm: Any) -> None:
    norm.gamma, norm.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def _linear(linear: Any, random: np.random.Generator, rows: int, columns: int = WIDTH) -> None:
    linear.weight, linear.bias = _noise(random, rows, columns), _noise(random, rows)

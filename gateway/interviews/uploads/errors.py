"""The errors of uploaded answers.

::

    UploadError             status, code, message, retry_after_s
    ├── UploadMalformed     400 the body broke off, is no valid form, or has no file
    ├── UploadTooSlow       408 the body came too slowly
    ├── UploadTooLarge      413 too many bytes, or too long a recording
    ├── UploadNotTaken      415 a media type or format that is not accepted
    ├── UploadLanguage      409 no recogniser here knows the session's language
    ├── UploadUndecodable   422 an audio file that is damaged or not of the claimed format
    ├── UploadBusy          503 too many uploads, or live voice needs the recogniser
    └── UploadFailed        503 no decoder or no recogniser works

`code` is for programs and stable, `message` for people; neither quotes the file.
"""

from typing import ClassVar

from stages._decode import DecoderFailed, NotDecoded


class UploadError(Exception):
    """Base of the errors of uploads. `status` is the matching HTTP status."""

    status: ClassVar[int] = 400

    def __init__(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class UploadMalformed(UploadError):
    """The body does not match its headers. Codes: `incomplete_body`, `invalid_multipart`,
    `no_file`, `several_files`, `invalid_form_field`."""


class UploadTooSlow(UploadError):
    """The body did not arrive in time. Code: `too_slow`. The rest of it has not been read."""

    status = 408


class UploadTooLarge(UploadError):
    """Codes: `too_large` (bytes; the rest of the body has not been read) and `too_long`."""

    status = 413


class UploadNotTaken(UploadError):
    """Codes: `unsupported_media_type`, `not_audio`, `no_audio_track`, `unsupported_codec`."""

    status = 415


class UploadLanguage(UploadError):
    """Code: `language_not_recognised`. The file is not at fault, and later it is the same."""

    status = 409


class UploadUndecodable(UploadError):
    """Codes: those of `stages._decode.Undecodable` that no other class here has."""

    status = 422


class UploadBusy(UploadError):
    """Codes: `uploads_full` and `live_voice_first`. Try again after `retry_after_s`."""

    status = 503


class UploadFailed(UploadError):
    """Codes: `no_decoder` and `no_recogniser`. The file is not at fault."""

    status = 503


_CLASSES: dict[str, type[UploadError]] = {
    "too_large": UploadTooLarge,
    "too_long": UploadTooLarge,
    "not_audio": UploadNotTaken,
    "no_audio_track": UploadNotTaken,
    "unsupported_codec": UploadNotTaken,
}


def not_decoded(error: NotDecoded) -> UploadError:
    """A decoder's error as an error of the upload."""
    if isinstance(error, DecoderFailed):
        return UploadFailed(error.code, error.reason, retry_after_s=5)
    return _CLASSES.get(error.code, UploadUndecodable)(error.code, error.reason)

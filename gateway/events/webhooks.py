"""The webhooks of a process: reads their file, delivers to them, and reports their state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.events.dead_letters import DeadLetter, drop_letter
from gateway.events.delivering import WebhookDelivery
from gateway.events.sending import DeliveryOutcome, WebhookPost
from gateway.events.webhooks_file import Webhook, WebhooksFile, parse_webhooks
from gateway.services.yaml_reader import YamlError
from gateway.settings import Settings, SettingsError
from gateway.store import Store

LARGEST_FILE_BYTES = 1_000_000


class WebhooksUnusable(Exception):
    """A file of webhooks cannot be used. The text is one line and names the file."""


class Webhooks:
    """The webhooks that a file names."""

    def __init__(self, file: WebhooksFile) -> None:
        self._file = file
        self._post: WebhookPost | None = None

    @property
    def all(self) -> tuple[Webhook, ...]:
        """The webhooks that get events, in the file's order."""
        return self._file.webhooks

    @asynccontextmanager
    async def delivering(self, store: Store) -> AsyncIterator[None]:
        """Deliver, or be ready to take over, while the block lasts."""
        self._post = WebhookPost(self._file.networks)
        try:
            async with WebhookDelivery(store, self._file.webhooks, self._post).running():
                yield
        finally:
            await self._post.aclose()

    async def replay(self, store: Store, letter: DeadLetter) -> DeliveryOutcome | None:
        """Deliver a dead letter once more, now; if the webhook takes it, it is no dead letter.

        None if its webhook is not in the file. Raises `StoreError`.
        """
        webhook = next((one for one in self.all if one.name == letter.webhook), None)
        if webhook is None or self._post is None:
            return None
        sent = await self._post(webhook, letter.event)
        if not sent.problem:
            await drop_letter(store, letter.id)
        return sent


def webhooks_of(settings: Settings) -> Webhooks | None:
    """The webhooks that the settings name, None without any. Raises `SettingsError`."""
    if settings.webhooks is None:
        return None
    try:
        return Webhooks(read_webhooks(settings.webhooks))
    except WebhooksUnusable as error:
        raise SettingsError(f"PARLEY_WEBHOOKS: {error}") from None


def read_webhooks(path: Path) -> WebhooksFile:
    """The webhooks of a file. Raises `WebhooksUnusable`."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise WebhooksUnusable(f"{path} is too large for a list of webhooks")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WebhooksUnusable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WebhooksUnusable(f"{path} is no text in UTF-8") from None
    try:
        return parse_webhooks(text, str(path))
    except YamlError as error:
        raise WebhooksUnusable(str(error)) from None

"""Deliveries are signed as Standard Webhooks has it."""

from base64 import b64encode

import pytest

from gateway.events.signing import secret_of, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_delivery_has_the_signature_of_the_published_example() -> None:
    # The example of the Standard Webhooks libraries.
    headers = signed_headers(
        [secret_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_give_two_signatures() -> None:
    other = b"x" * 24
    value = signed_headers([secret_of(SECRET), other], "e", 1, b"{}")["webhook-signature"]
    first, second = value.split(" ")
    assert first == signed_headers([secret_of(SECRET)], "e", 1, b"{}")["webhook-signature"]
    assert second == signed_headers([other], "e", 1, b"{}")["webhook-signature"]


@pytest.mark.parametrize("size", [23, 65])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes"):
        secret_of("whsec_" + b64encode(bytes(size)).decode())

"""Sessions over a WebSocket, and the uvicorn protocol that carries them."""

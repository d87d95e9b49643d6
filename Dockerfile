FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PARLEY_HOST=0.0.0.0 \
    PARLEY_API_KEYS=auto \
    PARLEY_PORT=8000 \
    PARLEY_DATA_DIR=/var/lib/parley

# The data directory is the user's home too, so that downloaded models stay with the sessions.
RUN useradd --system --uid 10001 --home-dir /var/lib/parley --create-home parley

WORKDIR /opt/parley
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY pipeline ./pipeline
COPY stages ./stages
COPY gateway ./gateway
RUN python -m pip install --no-cache-dir '.[offline,whisper,noise,redis,webrtc,avatar,otel,jwt]'

USER parley
WORKDIR /var/lib/parley
VOLUME /var/lib/parley
# Media over WebRTC comes by UDP, on ports that the kernel chooses: docker-compose.udp.yml.
EXPOSE 8000

# Liveness: the gateway is healthy while it answers, whatever state the services behind it are in.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PARLEY_PORT\"]}/health/live', timeout=4)"]

CMD ["parley", "serve"]

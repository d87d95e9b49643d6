// The face as the server draws it: video over WebRTC, or pictures over the WebSocket. It covers the
// drawn face while it comes; where it stays away or is given up, the drawn one is there again.

const STALE_MS = 1500; // a picture as old as that says nothing about what has been spoken since
const MOST_FRAMES = 64;

export class Picture {
  /** `host` gets `data-picture`: "video", "frames" or "" for the drawn face. */
  constructor(host, video, canvas, cursor) {
    this.host = host;
    this.video = video;
    this.canvas = canvas;
    this.cursor = cursor;
    this.how = "";
    this.given = false; // given up by the server, for now
    this.track = null;
    this.frames = []; // of replies, in order: {turn, at, picture}
    this.epoch = 0; // a picture that was being decoded when it was cleared is of the one before
    this.count = 0; // pictures seen
    this.seenAt = -Infinity;
    this.silentAt = -Infinity; // when nothing was spoken last
  }

  /** The server's video; null when it is over. */
  play(track) {
    this.track = track;
    this.video.srcObject = track === null ? null : new MediaStream([track]);
    if (track === null) return this.forget();
    // Aborted: another track has taken its place.
    this.video.play().catch((error) => error.name === "AbortError" || console.warn(error));
    this.#await(track);
  }

  #await(track) {
    this.video.ontimeupdate = () => this.#saw(); // four times a second, in every browser
    this.video.requestVideoFrameCallback?.(() => {
      if (this.track !== track) return;
      this.#saw();
      this.#await(track);
    });
  }

  /** `avatar.frame`. What belongs to speech waits until that is heard. */
  async frame({ turn, at_ms: at, mime, data }) {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const { epoch } = this;
    const blob = new Blob([bytes], { type: mime });
    const picture = await createImageBitmap(blob).catch(() => null);
    if (picture === null) return; // broken; the next one comes
    if (epoch !== this.epoch) return picture.close();
    if (at === null) return this.#paint(picture);
    this.frames.push({ turn, at, picture });
    while (this.frames.length > MOST_FRAMES) this.frames.shift().picture.close();
  }

  /** `clear`, or another connection. */
  clear() {
    this.epoch += 1;
    for (const { picture } of this.frames.splice(0)) picture.close();
  }

  forget() {
    this.clear();
    this.given = false;
    this.seenAt = -Infinity;
  }

  /** `degraded` of the avatar: to the mouth shapes alone, or back to pictures. */
  degraded({ to }) {
    this.given = to === "visemes";
  }

  /** Show what is due; call it often. */
  step() {
    const cursor = this.cursor();
    if (cursor?.sounding) {
      while (this.frames.length > 0) {
        const [next] = this.frames;
        if (next.turn > cursor.turn || (next.turn === cursor.turn && next.at > cursor.ms)) break;
        this.frames.shift();
        this.#paint(next.picture);
      }
    }
    // Video never rests; other pictures come where something has changed.
    const how = this.track === null ? "frames" : "video";
    const now = performance.now();
    if (!cursor?.sounding) this.silentAt = now;
    const since = how === "video" ? this.seenAt : Math.max(this.seenAt, this.silentAt);
    const fresh = this.seenAt > -Infinity && now - since < STALE_MS;
    this.#show(fresh && !this.given ? how : "");
  }

  #paint(picture) {
    this.canvas.width = picture.width;
    this.canvas.height = picture.height;
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.#saw();
  }

  #saw() {
    this.count += 1;
    this.seenAt = performance.now();
  }

  #show(how) {
    if (how === this.how) return;
    this.how = how;
    this.host.dataset.picture = how;
  }
}

// The websocket to the server: opens it again for as long as the page is open, says how many frames were taken in (the
// server sends no more than a few beyond that), and keeps an eye on how the clocks differ.

const RETRY_MS = [300, 500, 1000, 2000];
const PING_MS = 5000;

export class Link {
  /** onMessage(message), onPicture({camera, captured, size}, blob), onState(open). */
  constructor({ onMessage, onPicture, onState }) {
    Object.assign(this, { onMessage, onPicture, onState });
    this.offsetMs = 0;
    this.unreadable = 0;
    this.cameras = [];
    this.failures = 0;
    this.roundMs = Infinity;
    this.#open();
    setInterval(() => this.#ping(), PING_MS);
  }

  /** Says whose pictures are shown. */
  lookAt(cameras) {
    const same = cameras.length === this.cameras.length && cameras.every((name, i) => name === this.cameras[i]);
    this.cameras = cameras;
    if (!same) this.#say({ look: cameras });
  }

  #open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let taken = 0;
    socket.onopen = () => {
      this.failures = 0;
      this.roundMs = Infinity;
      this.#say({ look: this.cameras });
      this.#ping();
      this.onState(true);
    };
    socket.onmessage = ({ data }) => {
      try {
        if (typeof data === "string") this.#hear(JSON.parse(data));
        else this.#see(data);
      } catch (error) {
        this.unreadable++;
        console.warn("a message could not be read", error);
      }
      this.#say({ taken: ++taken });
    };
    socket.onclose = () => {
      this.onState(false);
      setTimeout(() => this.#open(), RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    };
  }

  #hear(message) {
    if (message.kind !== "pong") return this.onMessage(message);
    // The shortest round says most about the difference of the clocks.
    const round = performance.now() - message.ping;
    if (round > this.roundMs * 1.5) return;
    this.roundMs = Math.min(round, this.roundMs);
    this.offsetMs = message.time * 1000 - (Date.now() - round / 2);
  }

  #see(data) {
    const size = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    this.onPicture(header, new Blob([new Uint8Array(data, 4 + size)], { type: "image/jpeg" }));
  }

  #ping() {
    this.#say({ ping: performance.now() });
  }

  #say(what) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(what));
  }
}

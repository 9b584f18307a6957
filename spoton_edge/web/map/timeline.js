// The last ten minutes: a line of how many people there were, marks for handoffs, and a slider that goes back. What is
// shown is now, or stands still at a moment, or plays on from one.

import { colour } from "/common/theme.js";
import { say } from "./dom.js";
import { SPAN_MS } from "./history.js";

const PAINT_MS = 1000;
const LIVE_MS = 250; // so near to now is now

export class Timeline {
  constructor(root, model, onChange) {
    this.model = model;
    this.onChange = onChange;
    this.at = null; // ms of this page's clock; null: now
    this.running = true;
    this.painted = 0;
    const find = (selector) => root.querySelector(selector);
    this.parts = { pause: find("#pause"), scrub: find("#scrub"), moment: find("#moment"), live: find("#live"), past: find("#past") };
    this.parts.pause.addEventListener("click", () => this.toggle());
    this.parts.live.addEventListener("click", () => this.goLive());
    this.parts.scrub.addEventListener("input", () => {
      const ago = -Number(this.parts.scrub.value) * 1000;
      this.goTo(performance.now() - ago);
    });
  }

  get live() {
    return this.at === null;
  }

  goLive() {
    this.at = null;
    this.running = true;
    this.#changed();
  }

  /** Stands still at a moment. */
  goTo(time) {
    const { history } = this.model;
    // Not between the newest moment and now: where everybody was then is known only when the next one is.
    this.at = history.length ? Math.min(Math.max(time, history.oldest), history.newest) : time;
    this.running = false;
    this.#changed();
  }

  toggle() {
    if (this.live) this.goTo(performance.now());
    else {
      this.running = !this.running;
      this.#changed();
    }
  }

  /** Lets time pass; the moment to show. */
  step(now, elapsed) {
    if (this.live) return now;
    if (this.running) {
      this.at += elapsed;
      if (this.at >= now - LIVE_MS) this.goLive();
    } else if (this.model.history.length && this.at < this.model.history.oldest) {
      this.at = this.model.history.oldest; // what is older is no longer known
    }
    return this.at ?? now;
  }

  /** Brings the words and the slider up to date, and from time to time the line. */
  show(now) {
    const { scrub, moment, live } = this.parts;
    const ago = this.live ? 0 : (now - this.at) / 1000;
    live.hidden = this.live;
    if (document.activeElement !== scrub || this.running) scrub.value = -ago;
    say(moment, this.live ? "now" : `−${Math.floor(ago / 60)}:${String(Math.floor(ago % 60)).padStart(2, "0")}`);
    if (now - this.painted > PAINT_MS) {
      this.painted = now;
      this.#paint(now);
    }
  }

  repaint() {
    this.painted = 0;
  }

  #changed() {
    this.parts.pause.setAttribute("aria-pressed", String(!this.running));
    const label = this.running ? "Pause" : "Play";
    this.parts.pause.setAttribute("aria-label", label);
    this.parts.pause.title = `${label} (space)`;
    this.show(performance.now());
    this.onChange();
  }

  #paint(now) {
    const { past } = this.parts;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [wide, high] = [Math.round(past.clientWidth * ratio), Math.round(past.clientHeight * ratio)];
    if (!wide || !high) return;
    if (past.width !== wide || past.height !== high) Object.assign(past, { width: wide, height: high });
    const context = past.getContext("2d");
    context.clearRect(0, 0, wide, high);
    const from = now - SPAN_MS;
    const columns = Math.min(Math.floor(wide / 2), 400);
    const crowd = this.model.history.crowd(from, now, columns);
    const most = Math.max(4, ...[...crowd].filter((count) => count >= 0));
    const width = wide / columns;
    context.fillStyle = colour("accent");
    context.globalAlpha = 0.35;
    for (let i = 0; i < columns; i++) {
      if (!(crowd[i] > 0)) continue;
      const height = Math.max(ratio, (crowd[i] / most) * (high - 6 * ratio));
      context.fillRect(i * width, high - height, Math.max(width - 0.3, 1), height);
    }
    context.globalAlpha = 1;
    for (const event of this.model.events) {
      if (event.kind !== "handed_off" || event.now < from) continue;
      context.fillRect(((event.now - from) / SPAN_MS) * wide, 0, ratio, 4 * ratio);
    }
  }
}

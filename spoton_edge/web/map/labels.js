// The ids beside the dots, each drawn once and then copied: letters with an outline are what costs most in a crowd.

import { colour } from "/common/theme.js";
import { shortId } from "./names.js";

const PAD = 4;

export class Labels {
  constructor() {
    this.key = "";
    this.held = new Map(); // by text and weight: {canvas, width, height}, sizes in CSS px
    this.used = new Set();
  }

  /** Before a painting. key: what changes how all look. */
  begin(key) {
    if (key !== this.key) this.held.clear();
    this.key = key;
    this.ratio = Number(key.split(" ")[0]);
    this.used.clear();
  }

  /** Beside a dot at u, v; strong: of the followed person. */
  paint(context, id, strong, u, v) {
    const name = `${id}${strong ? "!" : ""}`;
    let label = this.held.get(name);
    if (!label) this.held.set(name, (label = this.#make(shortId(id), strong)));
    this.used.add(name);
    const away = strong ? 13 : 9;
    context.drawImage(label.canvas, u + away - PAD, v - away + 2 - label.rise, label.width, label.height);
  }

  /** After a painting: forgets those of people who have gone. */
  end() {
    if (this.held.size <= 2 * this.used.size + 16) return;
    for (const name of this.held.keys()) if (!this.used.has(name)) this.held.delete(name);
  }

  #make(text, strong) {
    const size = strong ? 14 : 12;
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    const font = `${strong ? 700 : 600} ${size}px system-ui, "Noto Sans", "DejaVu Sans", sans-serif`;
    context.font = font;
    const width = Math.ceil(context.measureText(text).width) + 2 * PAD;
    const [rise, height] = [size + PAD, size + 2 * PAD];
    Object.assign(canvas, { width: width * this.ratio, height: height * this.ratio });
    context.scale(this.ratio, this.ratio);
    context.font = font;
    context.lineJoin = "round";
    context.lineWidth = 3.5;
    context.strokeStyle = colour("paper");
    context.fillStyle = colour("ink");
    context.strokeText(text, PAD, rise);
    context.fillText(text, PAD, rise);
    return { canvas, width, height, rise };
  }
}

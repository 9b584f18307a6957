// The cameras: a card each with its picture, everybody in it in the colour of the map, its health and its counts. Without
// pictures the boxes stand alone: where people are in the view is known anyway.

import { colour } from "/common/theme.js";
import { personColour } from "./colours.js";
import { element, fixed, keyed, say } from "./dom.js";
import { LOST, PREDICTED } from "./model.js";

const SKEW_MS = 50; // of a camera's clock that is worth telling
const STATE_WORDS = { live: "live", ended: "recording ended" };

export class Pictures {
  constructor(parent, model, { onCamera }) {
    Object.assign(this, { parent, model, onCamera });
    this.newest = new Map(); // by camera: {image, captured}
  }

  /** Takes in a picture; resolves when it can be painted. */
  async take({ camera, captured }, blob) {
    const image = await createImageBitmap(blob);
    const before = this.newest.get(camera);
    if (before && before.captured > captured) return image.close();
    before?.image.close();
    this.newest.set(camera, { image, captured });
  }

  /** Pictures of before are not of now. */
  forget() {
    for (const { image } of this.newest.values()) image.close();
    this.newest.clear();
  }

  /** Paints the cards. first: the camera to put in front; chosen: whose coverage is shown. */
  show({ followed, first, chosen, stale, past }) {
    const { model } = this;
    const cameras = model.site?.cameras ?? [];
    const order = [...cameras].sort((a, b) => (b.name === first) - (a.name === first));
    const cards = keyed(this.parent, order.map((camera) => camera.name), (name) => this.#card(name));
    for (const [name, { image }] of this.newest) {
      if (cards.has(name)) continue;
      image.close(); // the camera was removed
      this.newest.delete(name);
    }
    for (const camera of order) {
      const card = cards.get(camera.name);
      const health = model.status?.cameras.get(camera.name);
      const { seen, zones } = model.countsOf(camera);
      card.classList.toggle("first", camera.name === first);
      card.classList.toggle("tall", camera.size !== null && camera.size[1] > camera.size[0]);
      card.setAttribute("aria-pressed", String(camera.name === chosen));
      card.parts.state.dataset.state = health?.state ?? "unknown";
      say(card.parts.state, STATE_WORDS[health?.state] ?? health?.state ?? "not heard of");
      say(card.parts.count, past ? "" : `${seen}`);
      say(card.parts.figures, health ? figuresOf(health) : "");
      keyed(card.parts.zones, [...zones.keys()], (name) => element("li"));
      for (const [name, count] of zones) say(card.parts.zones.held.get(name), `${name} ${count}`);
      this.#paint(card.parts.canvas, camera, followed, stale || past);
    }
  }

  /** Paints a followed person's box, enlarged, from the best view; false: there is none. */
  closeup(canvas, person, cameraName) {
    const picture = this.newest.get(cameraName);
    const camera = this.model.site?.cameras.find((one) => one.name === cameraName);
    const boxes = picture ? this.model.boxesAt(cameraName, picture.captured) : [];
    const box = boxes.find((one) => one.id === person.id)?.box;
    if (!picture || !camera?.size || !box) return false;
    const scale = picture.image.width / camera.size[0];
    const [x1, y1, x2, y2] = box.map((value) => value * scale);
    const height = (y2 - y1) * 1.5;
    const width = (height * canvas.width) / canvas.height;
    const within = (start, span, whole) => Math.min(Math.max(start, 0), Math.max(whole - span, 0)); // no more beside it than need be
    const left = within((x1 + x2 - width) / 2, width, picture.image.width);
    const top = within((y1 + y2 - height) / 2, height, picture.image.height);
    const context = canvas.getContext("2d");
    context.fillStyle = colour("sunk");
    context.fillRect(0, 0, canvas.width, canvas.height);
    const size = canvas.height / height;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture.image, -left * size, -top * size, picture.image.width * size, picture.image.height * size);
    context.strokeStyle = personColour(person.id);
    context.lineWidth = 3;
    context.strokeRect((x1 - left) * size, (y1 - top) * size, (x2 - x1) * size, (y2 - y1) * size);
    return true;
  }

  #card(name) {
    const canvas = element("canvas");
    const state = element("span", { class: "state" });
    const count = element("b", { class: "count", title: "people in view" });
    const figures = element("span", { class: "muted" });
    const zones = element("ul", { class: "zones" });
    const card = element(
      "button",
      { type: "button", class: "camera", "data-camera": name, title: "Show what it covers" },
      element("span", { class: "view" }, canvas, count),
      element("span", { class: "line" }, element("strong", {}, name), state),
      figures,
      zones,
    );
    card.parts = { canvas, state, count, figures, zones };
    card.addEventListener("click", () => this.onCamera(name));
    return card;
  }

  #paint(canvas, camera, followed, stale) {
    const [width, height] = camera.size ?? [16, 9];
    const picture = this.newest.get(camera.name);
    const wide = Math.round(canvas.clientWidth * Math.min(devicePixelRatio || 1, 2)) || 320;
    const high = Math.round((wide * height) / width);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const context = canvas.getContext("2d");
    context.globalAlpha = 1;
    context.fillStyle = colour("sunk");
    context.fillRect(0, 0, wide, high);
    context.globalAlpha = stale ? 0.35 : 1;
    if (picture) context.drawImage(picture.image, 0, 0, wide, high);
    const scale = wide / width;
    const ratio = wide / Math.max(canvas.clientWidth, 1);
    for (const { id, box, state } of this.model.boxesAt(camera.name, picture?.captured ?? null)) {
      if (state === LOST) continue;
      const own = id === followed;
      context.globalAlpha = (stale ? 0.35 : 1) * (followed !== null && !own ? 0.5 : 1);
      const [x1, y1, x2, y2] = box.map((value) => value * scale);
      context.strokeStyle = context.fillStyle = personColour(id);
      context.lineWidth = (own ? 3 : 2) * ratio;
      context.setLineDash(state === PREDICTED ? [4 * ratio, 3 * ratio] : []);
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
      context.setLineDash([]);
      context.font = `700 ${11 * ratio}px system-ui, "Noto Sans", "DejaVu Sans", sans-serif`;
      const label = String(id);
      const span = context.measureText(label).width + 6 * ratio;
      const top = Math.max(y1 - 14 * ratio, 0);
      context.fillRect(x1 - context.lineWidth / 2, top, span, 14 * ratio);
      context.fillStyle = colour("paper");
      context.fillText(label, x1 + 3 * ratio - context.lineWidth / 2, top + 11 * ratio);
    }
    context.globalAlpha = 1;
  }
}

function figuresOf({ fps, dropped, bad, skew }) {
  const told = [`${fixed(fps, 1)} fps`];
  if (dropped) told.push(`${dropped} dropped`);
  if (bad) told.push(`${bad} damaged`);
  if (Math.abs(skew ?? 0) >= SKEW_MS) told.push(`clock ${skew > 0 ? "+" : "−"}${Math.abs(skew).toFixed(0)} ms`);
  return told.join(", ");
}

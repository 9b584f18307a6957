// What the page knows of the site. Messages are taken in here, and checked: a name is text, a number is a number, and
// what is neither does not get any further.

import { inverse, inside, mapped } from "./geometry.js";
import { History } from "./history.js";

export const VISIBLE = 0;
export const PREDICTED = 1;
export const LOST = 2;
export const STATES = ["visible", "predicted", "lost"];
const STATE_OF = { visible: VISIBLE, coasting: PREDICTED, lost: LOST };
const EVENTS = 300;
const PEOPLE = 2000;
const CAMERAS = 64;
const ZONES = 32; // of a camera
const CORNERS = 400; // of a polygon
const DETAIL = 300; // characters of what a reload was refused for
const BOXES_KEPT = 48; // sets of boxes of a camera, to find those of a picture

export const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
export const text = (value, most = 80) => (typeof value === "string" ? value.slice(0, most) : null);
const list = (value) => (Array.isArray(value) ? value : []);
const numbers = (value, size) => (list(value).length === size && value.every((n) => number(n) !== null) ? value : null);
const polygon = (value) => list(value).slice(0, CORNERS).filter((point) => numbers(point, 2));

export class Model {
  constructor() {
    this.history = new History();
    this.hello = null;
    this.link = { silent: true, unreadable: false, run: "" };
    this.clockOffsetMs = 0; // what to add to this browser's clock for the server's
    this.events = []; // newest last
    this.lags = []; // ms from published to painted, of the last messages
    this.forget();
    this.site = null;
    this.status = null;
  }

  /** Another run of the daemon, or another daemon: its people are others. */
  forget() {
    this.people = new Map();
    this.tracks = null; // when the people were heard of
    this.boxes = new Map(); // by camera: [{captured, people: [{id, box, state}]}], newest last
    this.history.clear();
  }

  /** Takes a message in. Throws where it is none. */
  take(message, now) {
    switch (message.kind) {
      case "hello":
        this.hello = message;
        break;
      case "link":
        if (this.link.run && message.run && message.run !== this.link.run) this.forget();
        this.link = { silent: !!message.silent, unreadable: !!message.unreadable, run: text(message.run) ?? "" };
        break;
      case "site":
        this.site = siteOf(message);
        break;
      case "status":
        this.status = statusOf(message);
        break;
      case "tracks":
        this.#takeTracks(message, now);
        break;
      case "events":
        for (const event of list(message.events)) this.events.push(eventOf(event, now));
        if (this.events.length > EVENTS) this.events.splice(0, this.events.length - EVENTS);
        break;
    }
    return message.kind;
  }

  #takeTracks(message, now) {
    const people = new Map();
    const before = this.people;
    const byCamera = new Map();
    const captured = message.captured ?? {};
    for (const camera of Object.keys(captured).slice(0, CAMERAS)) byCamera.set(camera, []);
    for (const raw of list(message.tracks).slice(0, PEOPLE)) {
      const person = personOf(raw);
      if (!person) continue;
      people.set(person.id, person);
      if (person.state === LOST) person.lostAt = before.get(person.id)?.lostAt ?? now;
      for (const view of person.views) {
        if (view.box) byCamera.get(view.camera)?.push({ id: person.id, box: view.box, state: person.state });
      }
    }
    this.people = people;
    this.tracks = {
      now,
      time: number(message.time),
      ageMs: number(message.age_ms) ?? 0,
      placed: [...people.values()].filter((person) => person.x !== null),
    };
    for (const [camera, boxes] of byCamera) {
      const kept = this.boxes.get(camera) ?? [];
      kept.push({ captured: number(captured[camera]), people: boxes });
      if (kept.length > BOXES_KEPT) kept.shift();
      this.boxes.set(camera, kept);
    }
    for (const camera of this.boxes.size > CAMERAS ? [...this.boxes.keys()] : []) {
      if (!byCamera.has(camera)) this.boxes.delete(camera);
    }
    this.remembered = this.history.add(now, this.tracks.placed);
  }

  /** The boxes that belong to a picture: of the same frame, or of the nearest within 0.2 s. */
  boxesAt(camera, captured) {
    const kept = this.boxes.get(camera) ?? [];
    if (captured === null) return kept.at(-1)?.people ?? [];
    let best = null;
    for (const set of kept) {
      if (best === null || Math.abs(set.captured - captured) < Math.abs(best.captured - captured)) best = set;
    }
    return best && Math.abs(best.captured - captured) <= 0.2 ? best.people : [];
  }

  /** How many people a camera sees, and how many of them stand in each of its zones. */
  countsOf(camera) {
    const zones = new Map(Object.keys(camera.zones).map((name) => [name, 0]));
    let seen = 0;
    for (const person of this.people.values()) {
      const view = person.views.find((one) => one.camera === camera.name);
      if (!view || person.state === LOST) continue;
      seen++;
      const foot = footOf(view, person, camera);
      for (const [name, corners] of Object.entries(camera.zones)) {
        if (foot && inside(corners, foot)) zones.set(name, zones.get(name) + 1);
      }
    }
    return { seen, zones };
  }
}

function footOf(view, person, camera) {
  if (view.box) return [(view.box[0] + view.box[2]) / 2, view.box[3]];
  return camera.toPicture && person.x !== null ? mapped(camera.toPicture, [person.x, person.y]) : null;
}

function personOf(raw) {
  if (!Number.isSafeInteger(raw?.id) || raw.id < 1) return null;
  const [x, y] = [number(raw.x), number(raw.y)];
  const placed = x !== null && y !== null;
  return {
    id: raw.id,
    x: placed ? x : null,
    y: placed ? y : null,
    vx: number(raw.vx) ?? 0,
    vy: number(raw.vy) ?? 0,
    cov: numbers(raw.cov, 3),
    state: STATE_OF[raw.state] ?? LOST,
    ageS: number(raw.age_s) ?? 0,
    best: text(raw.best_view),
    views: list(raw.views)
      .map((view) => ({ camera: text(view?.camera), box: numbers(view?.box, 4) }))
      .filter((view) => view.camera !== null),
  };
}

function siteOf(message) {
  const map = message.map ?? {};
  const cameras = list(message.cameras)
    .slice(0, CAMERAS)
    .filter((camera) => text(camera?.name) !== null)
    .map((camera) => {
      const rows = list(camera.homography);
      const homography = rows.length === 3 && rows.every((row) => numbers(row, 3)) ? rows : null;
      const zones = Object.entries(camera.zones ?? {}).slice(0, ZONES);
      return {
        name: text(camera.name),
        size: numbers(camera.image_size, 2),
        homography,
        toPicture: homography && inverse(homography),
        footprint: polygon(camera.footprint),
        zones: Object.fromEntries(zones.map(([name, corners]) => [text(name), polygon(corners)])),
      };
    });
  const sha256 = text(map.sha256);
  return {
    name: text(message.site) ?? "",
    box: text(message.box) ?? "",
    cameras,
    yUp: map.axes !== "y_down",
    floor: sha256 && { sha256, perMetre: number(map.pixels_per_metre) ?? 100, origin: numbers(map.origin_px, 2) ?? [0, 0] },
  };
}

function statusOf(message) {
  const cameras = new Map();
  for (const camera of list(message.cameras)) {
    if (text(camera?.name) === null) continue;
    cameras.set(camera.name, {
      state: text(camera.state) ?? "",
      fps: number(camera.fps),
      dropped: number(camera.dropped),
      bad: number(camera.bad_frames),
      skew: number(camera.skew_ms),
    });
  }
  return { cameras, rate: number(message.batch_rate_hz) };
}

function eventOf(raw, now) {
  return {
    now,
    kind: text(raw.event) ?? "",
    time: number(raw.time),
    id: number(raw.id),
    other: number(raw.other),
    camera: text(raw.camera),
    from: text(raw.from),
    detail: text(raw.detail, DETAIL),
    reason: raw.reason && {
      gate: text(raw.reason.gate) ?? "",
      distance: number(raw.reason.distance_m),
      cosine: number(raw.reason.cosine),
      margin: number(raw.reason.margin),
    },
  };
}

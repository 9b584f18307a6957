// The draft: what was changed and not saved, with undo. Points are {u, v, x, y}; the half that is not yet given is null.

export const COLOURS = ["#3b76c4", "#d0593e", "#3f9661", "#9163c7", "#b8860b", "#2fa3a3", "#bf4f86", "#75796b"];
const PAUSE_MS = 900; // changes of one kind that follow each other faster are undone together

export class Store {
  constructor() {
    this.cameras = [];
    this.current = 0;
    this.chosen = null; // index of a point of the current camera
    this.read = "";
    this.saving = false;
    this.verdicts = new Map(); // camera -> answer of /judge
    this.pairs = [];
    this.listeners = new Set();
    this.past = [];
    this.future = [];
    this.last = { kind: null, at: 0 };
    this.pictureSize = () => null; // [width, height] of what a camera sends; null: not known
  }

  onChange(listener) {
    this.listeners.add(listener);
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }

  get camera() {
    return this.cameras[this.current];
  }

  get verdict() {
    return this.verdicts.get(this.camera.name);
  }

  get point() {
    return this.chosen === null ? null : this.camera.points[this.chosen] ?? null;
  }

  get dirty() {
    return this.cameras.some((camera) => camera.changed.points || camera.changed.region || camera.changed.handoff);
  }

  /** Takes the site as the server tells it; `keep` are cameras of a draft to lay over it. */
  load(site, keep = []) {
    const before = this.camera?.name;
    this.read = site.read;
    this.cameras = site.cameras.map((camera, index) => ({
      ...camera,
      colour: COLOURS[index % COLOURS.length],
      points: camera.points.map(([u, v, x, y]) => ({ u, v, x, y })),
      changed: { points: false, region: false, handoff: false },
    }));
    for (const kept of keep) {
      const camera = this.cameras.find((other) => other.name === kept.name);
      if (!camera) continue;
      for (const part of ["points", "region", "handoff"]) {
        if (kept.changed[part]) camera[part] = structuredClone(kept[part]);
      }
      if (kept.changed.points) camera.image_size = kept.image_size;
      camera.changed = { ...kept.changed };
    }
    this.current = Math.max(0, this.cameras.findIndex((camera) => camera.name === before));
    this.chosen = null;
    this.past = [];
    this.future = [];
    this.tell("draft");
  }

  /** Changes the current camera's `part` (points, region, handoff) so that it can be undone. */
  change(part, kind, make) {
    const now = performance.now();
    if (kind === null || kind !== this.last.kind || now - this.last.at > PAUSE_MS) {
      this.past.push(this.snapshot());
      if (this.past.length > 300) this.past.shift();
    }
    this.last = { kind, at: now };
    this.future = [];
    make(this.camera);
    this.camera.changed[part] = true;
    this.tell("draft");
  }

  /** What follows is undone by itself, however soon it comes. */
  pause() {
    this.last = { kind: null, at: 0 };
  }

  snapshot() {
    const cameras = this.cameras.map(({ name, points, region, handoff, image_size, changed }) => ({
      name, points, region, handoff, image_size, changed,
    }));
    return structuredClone({ cameras, current: this.current, chosen: this.chosen });
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return;
    to.push(this.snapshot());
    const state = from.pop();
    state.cameras.forEach((kept, index) => Object.assign(this.cameras[index], kept));
    this.current = state.current;
    this.chosen = state.chosen;
    this.pause();
    this.tell("draft");
  }

  chooseCamera(index) {
    if (index < 0 || index >= this.cameras.length || index === this.current) return;
    this.current = index;
    this.chosen = null;
    this.pause();
    this.tell("camera");
  }

  choose(index) {
    if (this.chosen === index) return;
    this.chosen = index;
    this.tell("chosen");
  }

  /** The first point of a camera is one of the picture that is there: pictureSize. */
  addPoint(half) {
    this.change("points", null, (camera) => {
      if (!camera.points.length) camera.image_size = this.pictureSize(camera.name) ?? camera.image_size;
      camera.points.push({ u: null, v: null, x: null, y: null, ...half });
      this.chosen = camera.points.length - 1;
    });
  }

  /** Sets a part of a point: {u, v} or {x, y}. kind joins steps that are undone together. */
  movePoint(index, half, kind = null) {
    this.change("points", kind, (camera) => Object.assign(camera.points[index], half));
  }

  removePoint(index) {
    this.change("points", null, (camera) => {
      camera.points.splice(index, 1);
      this.chosen = camera.points.length ? Math.min(index, camera.points.length - 1) : null;
    });
  }

  /** The answer of /judge on the complete point `index`; undefined for half of one. */
  judged(index) {
    const points = this.camera.points;
    if (!isWhole(points[index])) return undefined;
    return this.verdict?.points[points.slice(0, index).filter(isWhole).length];
  }

  /** What /judge and /save take. */
  draft() {
    const cameras = {};
    for (const camera of this.cameras) {
      const { changed } = camera;
      const entry = {};
      if (changed.points) {
        entry.points = camera.points.filter(isWhole).map(({ u, v, x, y }) => [u, v, x, y]);
        if (camera.image_size) entry.image_size = camera.image_size;
      }
      if (changed.region) entry.region = camera.region;
      if (changed.handoff) entry.handoff = camera.handoff;
      if (Object.keys(entry).length) cameras[camera.name] = entry;
    }
    const known = Object.fromEntries([...this.verdicts.values()].map(({ name, tag }) => [name, tag]));
    return { read: this.read, cameras, known };
  }

  /** Takes what /judge says; of cameras that did not change it only gives the tag. */
  take(answer) {
    this.verdicts = new Map(
      answer.cameras.map((camera) => {
        const before = this.verdicts.get(camera.name);
        return [camera.name, before?.tag === camera.tag ? before : camera];
      }),
    );
    this.pairs = answer.pairs;
    this.tell("verdict");
  }
}

export function isWhole(point) {
  return [point.u, point.v, point.x, point.y].every((value) => value !== null);
}

export const round = (value, digits) => Number(value.toFixed(digits));

// The calibrator's page: what is clicked and typed becomes a draft, which the server judges while it changes.

import { themeButton } from "/common/theme.js";
import * as api from "./api.js";
import { Floor } from "./floor.js";
import { drawCameras, drawHandoffs, drawPairs, drawPoints, drawVerdict, el } from "./lists.js";
import { Picture } from "./picture.js";
import { isWhole, round, Store } from "./store.js";

const $ = (id) => document.getElementById(id);
const store = new Store();
const pictures = new Map(); // camera -> {picture, text}
const FEWEST = 4;
const ADVISED = 6;
let site = null;
let picture = null;
let floor = null;
let live = false;

// --- judging: one question at a time, the newest draft next ---

let asking = false;
let outdated = false;

async function judge() {
  outdated = true;
  if (asking) return;
  asking = true;
  try {
    while (outdated) {
      outdated = false;
      const answer = await api.judge(store.draft());
      store.take(answer);
    }
  } catch (error) {
    notify(error.message, "bad");
  } finally {
    asking = false;
  }
}

// --- regions and handoff zones ---

const tools = {
  mode: "points",
  polygon: [],

  corners() {
    const { camera } = store;
    const drawing = this.polygon.map((corner, index) => [`new ${index + 1}`, corner]);
    const known = this.mode === "region"
      ? camera.region.map((corner, index) => [`region ${index + 1}`, corner])
      : camera.handoff.flatMap((link, zone) =>
          Array.isArray(link.zone) ? link.zone.map((corner, index) => [`zone ${zone + 1}.${index + 1}`, corner]) : []);
    return [...known, ...drawing];
  },

  addCorner(corner) {
    if (this.mode === "handoff" && store.cameras.length < 2) return;
    this.polygon.push(corner);
    refresh();
  },

  /** A corner that was clicked: the first of a polygon closes it. */
  hitCorner(handle) {
    if (handle === "new 1") this.close();
  },

  close() {
    if (this.polygon.length < 3) return;
    const corners = this.polygon;
    this.polygon = [];
    if (this.mode === "region") {
      store.change("region", null, (camera) => (camera.region = corners));
    } else {
      const to = store.cameras.find((camera) => camera !== store.camera).name;
      store.change("handoff", null, (camera) => camera.handoff.push({ zone: corners, to, enter: null, travel_s: [0.5, 20] }));
    }
  },

  giveUp() {
    this.polygon = [];
    refresh();
  },

  where(handle) {
    const [kind, number] = handle.split(" ");
    if (kind === "new") return { part: null, list: () => this.polygon, index: number - 1 };
    if (kind === "region") return { part: "region", list: (camera) => camera.region, index: number - 1 };
    const [zone, corner] = number.split(".");
    return { part: "handoff", list: (camera) => camera.handoff[zone - 1].zone, index: corner - 1 };
  },

  moveCorner(handle, corner, kind) {
    const { part, list, index } = this.where(handle);
    if (part) {
      store.change(part, kind, (camera) => (list(camera)[index] = corner));
    } else {
      this.polygon[index] = corner;
      refresh();
    }
  },

  corner(handle) {
    const { list, index } = this.where(handle);
    return list(store.camera)[index];
  },

  removeCorner(handle) {
    const { part, list, index } = this.where(handle);
    if (part && list(store.camera).length < 4) return; // the last three make the shape
    if (part) store.change(part, null, (camera) => list(camera).splice(index, 1));
    else this.polygon.splice(index, 1);
    refresh();
  },
};

function setMode(mode) {
  tools.mode = mode;
  tools.polygon = [];
  refresh();
}

// --- what is on the page ---

function refresh() {
  if (!store.camera || !picture) return;
  const { mode } = tools;
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  for (const name of ["points", "region", "handoff"]) $(`${name}-list`).hidden = name !== mode;
  drawCameras($("cameras"), store);
  drawPairs($("pairs-title"), $("pairs"), store);
  drawPoints($("points"), store);
  drawHandoffs($("handoffs"), store);
  drawVerdict($("verdict"), store);
  drawTexts();
  picture.draw();
  floor.draw();
  $("undo").disabled = !store.past.length;
  $("redo").disabled = !store.future.length;
  $("save").disabled = !store.dirty;
}

function drawTexts() {
  const { camera, point } = store;
  const whole = camera.points.filter(isWhole).length;
  const number = store.chosen === null ? 0 : store.chosen + 1;
  const missing = point && (point.u === null ? "pixel" : point.x === null ? "place" : null);
  const drawing = tools.polygon.length;
  const asks = !camera.kind || camera.kind === "points" || camera.changed.points;
  const [inPicture, onFloor] = [$("picture-hint"), $("floor-hint")];
  inPicture.classList.toggle("now", tools.mode === "points" ? missing === "pixel" || (!missing && whole < ADVISED && asks) : drawing > 0);
  onFloor.classList.toggle("now", tools.mode === "points" && missing === "place");
  onFloor.textContent = missing === "place" ? `Now click where point ${number} is on the floor, or type its metres.` : "";
  inPicture.textContent = {
    points: !asks
      ? "The lines must lie on the floor."
      : missing === "pixel"
      ? `Now click point ${number} in the picture.`
      : missing === "place" ? ""
      : whole < FEWEST ? "Click a spot of the floor: a tile's corner, the foot of a column."
      : whole < ADVISED ? `${ADVISED - whole} more, so that a wrong one can be found.`
      : "Drag to correct; more points make it surer.",
    region: drawing ? "Click the corners; Enter closes it." : "Click the corners of where feet count.",
    handoff: drawing ? "Click the corners; Enter closes it." : "Click the corners of where people leave this picture.",
  }[tools.mode];
  $("points-empty").hidden = camera.points.length > 0;
  $("points-empty").textContent = camera.kind && camera.kind !== "points"
    ? `Calibrated by ${camera.kind} in the site file. To calibrate by points instead, click the first one; undo brings the ${camera.kind} back.`
    : "No points yet. Choose spots that you can see in the picture and measure on the floor.";
  $("region-text").textContent = camera.region.length
    ? "Only feet inside count. Drag the corners, or draw a new one."
    : "Feet count everywhere. Draw a region where only part of the picture is yours to watch.";
  $("region-clear").hidden = !camera.region.length;
  $("handoff-text").textContent = store.cameras.length < 2
    ? "Handoffs lead to another camera; this site has one."
    : camera.handoff.length ? "" : "Draw where people leave this picture and come into another that does not overlap it.";
}

function notify(text, kind = "", command = null) {
  const notice = $("notice");
  notice.hidden = !text;
  notice.dataset.kind = kind;
  notice.replaceChildren(text ?? "");
  if (command) notice.append(" ", el("code", { textContent: command }));
}

// --- pictures ---

async function look(name, fresh = false) {
  const known = pictures.get(name);
  if (known?.loading) return;
  const before = store.pictureSize(name);
  pictures.set(name, { ...known, loading: true });
  let got;
  try {
    got = { picture: await api.picture(`/picture/${encodeURIComponent(name)}`), text: null };
  } catch (error) {
    got = { picture: null, text: error.message };
  }
  if (known?.picture) URL.revokeObjectURL(known.picture.url);
  pictures.set(name, got);
  if (store.camera?.name === name) showPicture(fresh);
  if (String(store.pictureSize(name)) !== String(before)) judge();
}

function showPicture(fresh) {
  const known = pictures.get(store.camera.name);
  picture.show(known?.picture ?? null, known?.text ?? null, fresh);
}

async function watchLive() {
  while (live) {
    await look(store.camera.name);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

// --- a place in one picture, shown in the other ---

let wanted = null; // {pane, at}: where the pointer is; null: nowhere
let pointing = false;

async function point(pane, at) {
  wanted = at && store.verdict?.grid ? { pane, at } : null;
  if (!wanted) {
    floor.cross(null);
    picture.cross(null, null);
  }
  if (pointing) return;
  pointing = true;
  while (wanted) {
    const now = wanted;
    const [a, b] = now.at;
    try {
      const found = await api.place(store.camera.name, now.pane === picture ? { u: a, v: b } : { x: a, y: b });
      if (wanted === null) break;
      const ends = found.uv && found.head && picture.inPicture(found.uv) ? [found.uv, found.head] : null;
      if (now.pane === picture) floor.cross(found.xy);
      picture.cross(now.pane === floor && found.uv && picture.inPicture(found.uv) ? found.uv : null, ends);
    } catch {
      wanted = null; // whoever asks for verdicts next says what is wrong
    }
    if (wanted === now) wanted = null;
  }
  pointing = false;
}

function link() {
  picture.onHover = (at) => point(picture, at);
  floor.onHover = (at) => point(floor, at);
}

// --- saving ---

function ask(title, content, buttons) {
  const dialog = $("dialog");
  $("dialog-title").textContent = title;
  $("dialog-text").replaceChildren(...content);
  return new Promise((resolve) => {
    $("dialog-buttons").replaceChildren(
      ...buttons.map(([text, value, primary]) => {
        const button = el("button", { textContent: text, className: primary ? "primary" : "" });
        button.addEventListener("click", () => dialog.close(value));
        return button;
      }),
    );
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

async function save(confirmed = false) {
  if (!store.dirty) return;
  $("save").disabled = true;
  try {
    const answer = await api.save(store.draft(), confirmed);
    store.take(answer);
    if (answer.saved) await saved(answer);
    else await confirmRefused(answer);
  } catch (error) {
    if (error.status === 409) await changedOnDisk(error.message);
    else notify(`Not saved: ${error.message}`, "bad");
  } finally {
    refresh();
  }
}

async function saved(answer) {
  const unfinished = store.cameras.filter((camera) => answer.unfinished.includes(camera.name) || camera.points.some((point) => !isWhole(point)));
  const note = answer.unfinished.length ? ` ${answer.unfinished.join(", ")}: too few points, its ground is as it was.` : "";
  await load(unfinished.map((camera) => ({ ...camera, changed: { points: true, region: false, handoff: false } })));
  notify(`Saved; what was there is in ${answer.backup}.${note} Have the running daemon take it up:`, "", answer.reload);
}

async function confirmRefused(answer) {
  const lines = answer.cameras
    .filter((camera) => answer.refused.includes(camera.name))
    .map((camera) => el("li", {}, el("strong", { textContent: `${camera.name}: ` }), camera.reasons[0]));
  const text = el("p", { textContent: "The daemon would run these cameras without places:" });
  const choice = await ask("Not good yet", [text, el("ul", {}, ...lines)], [["Save all the same", "save"], ["Go on calibrating", "", true]]);
  if (choice === "save") await save(true);
}

async function changedOnDisk(message) {
  const choice = await ask("The file is another now", [el("p", { textContent: message })], [
    ["Load it, give up my changes", "drop"],
    ["Load it, keep my changes", "keep", true],
    ["Go back", ""],
  ]);
  if (choice) await load(choice === "keep" ? store.cameras : []);
}

async function load(keep = []) {
  try {
    site = await api.site();
  } catch (error) {
    notify(error.message, "bad");
    return;
  }
  notify("");
  $("site-name").textContent = site.site;
  $("file").textContent = site.file;
  document.title = `${site.site}: calibrator`;
  store.load(site, keep);
}

// --- keys ---

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function nudge(event) {
  const handle = document.activeElement?.dataset?.handle;
  const step = ARROWS[event.key];
  if (!step || handle === undefined) return false;
  const fine = event.shiftKey ? 0.1 : 1;
  if (floor.svg.contains(document.activeElement)) {
    const point = store.camera.points[handle];
    const up = site.floor.y_down ? 1 : -1;
    const [x, y] = [point.x + 0.1 * fine * step[0], point.y + up * 0.1 * fine * step[1]];
    store.movePoint(Number(handle), { x: round(x, 3), y: round(y, 3) }, `nudge floor ${handle}`);
  } else if (tools.mode === "points") {
    const point = store.camera.points[handle];
    const [u, v] = picture.kept([point.u + fine * step[0], point.v + fine * step[1]]);
    store.movePoint(Number(handle), { u, v }, `nudge ${handle}`);
    picture.magnify([u, v]);
  } else {
    const [u, v] = tools.corner(handle);
    tools.moveCorner(handle, picture.kept([u + fine * step[0], v + fine * step[1]]), `nudge ${handle}`);
  }
  return true;
}

function remove() {
  const handle = document.activeElement?.dataset?.handle;
  if (tools.mode !== "points" && handle !== undefined && picture.svg.contains(document.activeElement)) tools.removeCorner(handle);
  else if (store.chosen !== null && tools.mode === "points") store.removePoint(store.chosen);
  else return false;
  return true;
}

const KEYS = {
  p: () => setMode("points"),
  r: () => setMode("region"),
  h: () => setMode("handoff"),
  f: () => (picture.fit(), floor.fit()),
  "+": () => picture.zoom(1.25),
  "-": () => picture.zoom(0.8),
  "?": () => $("help").showModal(),
  Enter: () => tools.close(),
  Escape: () => (tools.polygon.length ? tools.giveUp() : store.choose(null)),
};

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === "s") save();
    else if (key === "z" && !typing) event.shiftKey ? store.redo() : store.undo();
    else if (key === "y" && !typing) store.redo();
    else return;
    event.preventDefault();
    return;
  }
  if (typing || event.altKey) return;
  if (nudge(event)) event.preventDefault();
  else if (event.key === "Delete" || event.key === "Backspace") remove() && event.preventDefault();
  else if (/^[1-9]$/.test(event.key)) store.chooseCamera(Number(event.key) - 1);
  else if (event.key === "Enter" && event.target.matches("button")) return;
  else KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
}

// --- start ---

async function start() {
  themeButton($("theme"));
  await load();
  if (!site) return;
  picture = new Picture($("picture"), store, tools);
  floor = new Floor($("floor"), store, site.floor);
  link();
  store.pictureSize = (name) => {
    const known = pictures.get(name)?.picture;
    return known ? [known.width, known.height] : null;
  };
  store.onChange((what) => {
    if (what === "camera") {
      tools.polygon = [];
      showPicture(true);
    }
    if (what === "draft") judge();
    if (what === "camera" || (what === "verdict" && !floor.judged)) {
      floor.judged = true; // from now on it stays where it is while somebody clicks
      if (!floor.touched) floor.fit();
    }
    refresh();
  });
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
  $("undo").addEventListener("click", () => store.undo());
  $("redo").addEventListener("click", () => store.redo());
  $("save").addEventListener("click", () => save());
  $("refresh").addEventListener("click", () => look(store.camera.name));
  $("region-clear").addEventListener("click", () => store.change("region", null, (camera) => (camera.region = [])));
  $("help-button").addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
  $("live").addEventListener("click", () => {
    live = !live;
    $("live").setAttribute("aria-pressed", String(live));
    if (live) watchLive();
  });
  addEventListener("keydown", onKey);
  addEventListener("beforeunload", (event) => {
    if (store.dirty) event.preventDefault();
  });
  showPicture(true);
  refresh();
  judge();
  if (site.floor.plan) {
    try {
      floor.showPlan(await api.picture("/plan"));
    } catch (error) {
      notify(error.message, "bad");
    }
  }
  await Promise.all(store.cameras.map((camera, index) => look(camera.name, index === store.current)));
}

start();

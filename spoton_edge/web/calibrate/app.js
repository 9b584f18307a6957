// The calibrator's page: what is clicked and typed becomes a draft, which the server judges while it changes.

import { themeButton } from "/common/theme.js";
import * as api from "./api.js";
import { Floor } from "./floor.js";
import { keyboard } from "./keys.js";
import { drawCameras, drawHandoffs, drawPairs, drawPoints, drawVerdict, el } from "./lists.js";
import { Picture } from "./picture.js";
import { saving } from "./saving.js";
import { isWhole, Store } from "./store.js";
import { zones } from "./zones.js";

const $ = (id) => document.getElementById(id);
const store = new Store();
const pictures = new Map(); // camera -> {picture, text}
const FEWEST = 4;
const ADVISED = 6;
const tools = zones(store, refresh);
const save = saving(store, { notify, load, refresh });
let site = null;
let picture = null;
let floor = null;
let live = false;

// --- judging: one question at a time, the newest draft next ---

let asking = false;
let outdated = false;
let faulty = false; // what is said above the page is of the last question

async function judge() {
  outdated = true;
  if (asking) return;
  asking = true;
  try {
    while (outdated) {
      outdated = false;
      const answer = await api.judge(store.draft());
      store.take(answer);
      if (faulty) notify("");
      faulty = false;
    }
  } catch (error) {
    notify(error.message, "bad");
    faulty = true;
  } finally {
    asking = false;
  }
}

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
  $("save").disabled = !store.dirty || store.saving;
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

/** Takes the file as it is now; keep: gives the cameras of the draft that are to lie over it. */
async function load(keep = () => []) {
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
  store.load(site, keep());
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
  addEventListener("keydown", keyboard({ store, picture, floor, tools, setMode, save }));
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

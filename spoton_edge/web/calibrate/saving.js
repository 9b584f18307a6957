// Saving: what is asked before, and what is said after.

import * as api from "./api.js";
import { el } from "./lists.js";
import { isWhole } from "./store.js";

const $ = (id) => document.getElementById(id);

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

/** The function that saves; notify, load and refresh are the page's. */
export function saving(store, { notify, load, refresh }) {
  /** One at a time, up to the last answer and until the file is read again. */
  async function save() {
    if (!store.dirty || store.saving) return;
    store.saving = true;
    refresh();
    try {
      await attempt(false);
    } finally {
      store.saving = false;
      refresh();
    }
  }

  async function attempt(confirmed) {
    try {
      const sent = store.draft();
      const answer = await api.save(sent, confirmed);
      store.take(answer);
      if (answer.saved) await saved(answer, sent);
      else await confirmRefused(answer);
    } catch (error) {
      if (error.status === 409) await changedOnDisk(error.message);
      else notify(`Not saved: ${error.message}`, "bad");
    }
  }

  async function saved(answer, sent) {
    // Half points are in no file, and what was done while the file was written is not in this one.
    const unfinished = () => {
      const now = store.draft().cameras;
      return store.cameras.flatMap((camera) => {
        if (JSON.stringify(now[camera.name]) !== JSON.stringify(sent.cameras[camera.name])) return [camera];
        const half = answer.unfinished.includes(camera.name) || camera.points.some((point) => !isWhole(point));
        return half ? [{ ...camera, changed: { points: true, region: false, handoff: false } }] : [];
      });
    };
    const note = answer.unfinished.length ? ` ${answer.unfinished.join(", ")}: too few points, its ground is as it was.` : "";
    await load(unfinished);
    notify(`Saved; what was there is in ${answer.backup}.${note} Have the running daemon take it up:`, "", answer.reload);
  }

  async function confirmRefused(answer) {
    const lines = answer.cameras
      .filter((camera) => answer.refused.includes(camera.name))
      .map((camera) => el("li", {}, el("strong", { textContent: `${camera.name}: ` }), camera.reasons[0]));
    const text = el("p", { textContent: "The daemon would run these cameras without places:" });
    const choice = await ask("Not good yet", [text, el("ul", {}, ...lines)], [["Save all the same", "save"], ["Go on calibrating", "", true]]);
    if (choice === "save") await attempt(true);
  }

  async function changedOnDisk(message) {
    const choice = await ask("The file is another now", [el("p", { textContent: message })], [
      ["Load it, give up my changes", "drop"],
      ["Load it, keep my changes", "keep", true],
      ["Go back", ""],
    ]);
    if (choice) await load(() => (choice === "keep" ? store.cameras : []));
  }

  return save;
}

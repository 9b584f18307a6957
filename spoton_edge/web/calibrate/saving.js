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

  return save;
}

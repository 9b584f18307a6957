// What stands beside and below the pictures: cameras, points, handoffs, the verdict. All text is set as text.

const QUADRANTS = ["upper_left", "upper_right", "lower_left", "lower_right"];

/** An element with properties and children. */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export const gradeText = (verdict) => (verdict ? (verdict.grade ?? "not calibrated") : "…");

const centimetres = (metres) => (metres === null ? "–" : metres < 1 ? `${(100 * metres).toFixed(1)} cm` : `${metres.toFixed(2)} m`);

/** The cameras to choose from. Buttons stay: one that is replaced while somebody presses it would swallow the click. */
export function drawCameras(list, store) {
  while (list.children.length > store.cameras.length) list.lastElementChild.remove();
  while (list.children.length < store.cameras.length) list.append(cameraEntry(list.children.length, store));
  store.cameras.forEach((camera, index) => {
    const button = list.children[index].firstElementChild;
    const [swatch, name, grade] = button.children;
    const verdict = store.verdicts.get(camera.name);
    const unsaved = Object.values(camera.changed).some(Boolean);
    button.dataset.camera = camera.name;
    button.title = `${camera.name}: ${gradeText(verdict)}${unsaved ? ", not saved" : ""}`;
    button.setAttribute("aria-current", String(index === store.current));
    swatch.style.setProperty("--camera", camera.colour);
    name.textContent = camera.name + (unsaved ? " •" : "");
    grade.textContent = verdict?.grade ?? (verdict ? "new" : "…");
    if (verdict?.grade) grade.dataset.grade = verdict.grade;
    else delete grade.dataset.grade;
  });
}

function cameraEntry(index, store) {
  const parts = ["swatch", "name", "grade"].map((className) => el("span", { className }));
  const button = el("button", {}, ...parts);
  button.addEventListener("click", () => store.chooseCamera(index));
  return el("li", {}, button);
}

export function drawPairs(title, list, store) {
  title.hidden = !store.pairs.length;
  list.replaceChildren(
    ...store.pairs.map((pair) => {
      const apart = pair.median_m === null ? "" : `, ${(100 * pair.median_m).toFixed(0)} cm apart on ${pair.count} marks`;
      return el(
        "li",
        { className: "pair", title: pair.reason },
        el("strong", { textContent: pair.cameras.join(" – ") }),
        el("br"),
        `${pair.shared_m2.toFixed(0)} m²${apart}`,
      );
    }),
  );
}

/** The table of points. Rows stay where they are while somebody types in one. */
export function drawPoints(body, store) {
  const { points } = store.camera;
  while (body.rows.length > points.length) body.deleteRow(-1);
  while (body.rows.length < points.length) body.append(pointRow(body.rows.length, store));
  points.forEach((point, index) => {
    const row = body.rows[index];
    const judged = store.judged(index);
    row.className = [index === store.chosen && "chosen", judged?.wrong && "wrong"].filter(Boolean).join(" ");
    for (const input of row.querySelectorAll("input")) {
      if (input !== document.activeElement) input.value = point[input.name] ?? "";
    }
    row.querySelector(".off").textContent = judged ? centimetres(judged.off_m) + (judged.wrong ? " wrong" : "") : "";
    row.querySelector(".left-out").textContent = judged && !judged.wrong ? centimetres(judged.left_out_m) : "";
  });
}

function pointRow(index, store) {
  const row = el("tr", {}, el("td", { textContent: index + 1 }));
  for (const name of ["u", "v", "x", "y"]) {
    const what = { u: "pixel u", v: "pixel v", x: "metres x", y: "metres y" }[name];
    const input = el("input", { name, placeholder: "–", inputMode: "decimal", ariaLabel: `${what} of point ${index + 1}` });
    input.addEventListener("focus", () => store.choose(index));
    input.addEventListener("input", () => {
      const text = input.value.trim().replace(",", ".");
      const value = text === "" ? null : Number(text);
      const wrong = Number.isNaN(value) || (value !== null && Math.abs(value) > 1e6);
      input.setCustomValidity(wrong ? "a number" : "");
      if (!wrong) store.movePoint(index, { [name]: value }, `type ${index} ${name}`);
    });
    row.append(el("td", {}, input));
  }
  const remove = el("button", { className: "icon", title: "Remove", ariaLabel: `Remove point ${index + 1}`, textContent: "×" });
  remove.addEventListener("click", () => store.removePoint(index));
  row.append(el("td", { className: "off" }), el("td", { className: "left-out" }), el("td", {}, remove));
  row.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("button")) store.choose(index);
  });
  return row;
}

export function drawHandoffs(list, store) {
  if (list.contains(document.activeElement) && document.activeElement.matches("input")) return; // somebody types there
  const others = store.cameras.filter((camera) => camera !== store.camera).map((camera) => camera.name);
  const shown = JSON.stringify([others, store.camera.handoff]);
  if (list.shown === shown) return; // somebody may be pressing a button there
  list.shown = shown;
  list.replaceChildren(
    ...store.camera.handoff.map((link, index) => {
      const zone = Array.isArray(link.zone) ? "zone" : link.zone.replace("_", " ");
      const to = choice(others.map((name) => [name, name]), link.to, "camera", (value) => change("to", value));
      const drawn = Array.isArray(link.enter) ? [["drawn", "in its zone"]] : [];
      const entries = [["", "anywhere"], ...QUADRANTS.map((name) => [name, name.replace("_", " ")]), ...drawn];
      const enter = choice(entries, Array.isArray(link.enter) ? "drawn" : (link.enter ?? ""), "where they appear", (value) => {
        if (value !== "drawn") change("enter", value || null);
      });
      const [shortest, longest] = [0, 1].map((which) => {
        const input = el("input", { value: link.travel_s[which], inputMode: "decimal", ariaLabel: which ? "longest time" : "shortest time" });
        input.addEventListener("change", () => {
          const value = Number(input.value.replace(",", "."));
          const travel = link.travel_s.map((old, i) => (i === which ? value : old));
          const fine = Number.isFinite(value) && value >= 0 && travel[0] <= travel[1] && travel[1] > 0;
          if (fine) change("travel_s", travel);
          else input.value = link.travel_s[which];
        });
        return input;
      });
      const remove = el("button", { textContent: "Remove" });
      remove.addEventListener("click", () => store.change("handoff", null, (camera) => camera.handoff.splice(index, 1)));
      return el("li", {}, `${index + 1}. from the ${zone} to`, to, enter, "after", shortest, "to", longest, "s", remove);

      function change(key, value) {
        store.change("handoff", null, (camera) => (camera.handoff[index][key] = value));
      }
    }),
  );
}

function choice(options, chosen, label, onChoice) {
  const select = el("select", { ariaLabel: label }, ...options.map(([value, text]) => el("option", { value, textContent: text })));
  select.value = chosen;
  select.addEventListener("change", () => onChoice(select.value));
  return select;
}

export function drawVerdict(section, store) {
  const { camera, verdict } = store;
  const find = (id) => section.querySelector(`#${id}`);
  find("verdict-camera").textContent = camera.name;
  const grade = find("grade");
  grade.textContent = gradeText(verdict);
  grade.dataset.grade = verdict?.grade ?? "";
  const reasons = [...(verdict?.reasons ?? [])];
  if (verdict?.grade === "good") reasons.push("Look at the lines too: they must lie on the floor.");
  const list = find("reasons");
  list.dataset.grade = verdict?.grade ?? "";
  list.replaceChildren(...reasons.map((text) => el("li", { textContent: text })));
  find("figures").replaceChildren(...(verdict?.figures ?? []).map((text) => el("li", { textContent: text })));
}


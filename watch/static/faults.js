// Faults at a switch: each with what one will see, the metric that moves, and how strong it is.

import { $, Keyed, make, setText } from "./dom.js";
import { act, ask, part } from "./api.js";

// A moment that was on its way when a switch was set tells of the time before.
const STALE_MS = 2000;

const words = (name) => name.replaceAll(/[_-]/g, " ");

export class FaultsPanel {
  #list = new Keyed($("fault-list"));
  #on = "";

  constructor() {
    const button = $("faults-end");
    button.addEventListener("click", () => act(button, () => ask("DELETE", "/faults")));
  }

  show(moment) {
    const faults = moment.faults ?? [];
    this.#list.show(faults, (fault) => fault.name, create, update);
    const on = faults.filter((fault) => fault.is_on).map((fault) => words(fault.name));
    if (this.#on === on.join()) return;
    this.#on = on.join();
    $("faults-on").replaceChildren(...on.map((name) => make("span", { class: "badge warn", textContent: name })));
  }
}

function create(fault) {
  const title = words(fault.name);
  const toggle = make("button", { type: "button", class: "toggle", role: "switch", "aria-label": title });
  const view = { toggle, isTouched: false };
  const name = make("span", { class: "name", textContent: title });
  const sentence = make("span", { class: "grow" }, `${fault.sentence} `);
  if (fault.metric) sentence.append("Moves: ", make("code", { textContent: fault.metric }));
  view.element = make("li", { "data-fault": fault.name }, toggle, name, sentence);
  if (fault.grade && fault.grade.min < fault.grade.max) view.element.append(gradeOf(fault, view, title));
  toggle.addEventListener("click", () =>
    act(toggle, async () => {
      const isOn = toggle.getAttribute("aria-checked") !== "true";
      await (isOn ? begin(fault, view) : ask("DELETE", `/faults/${part(fault.name)}`));
      view.isSet = { isOn, untilMs: Date.now() + STALE_MS };
      show(view, isOn);
    }),
  );
  return view;
}

const begin = (fault, view) =>
  ask("PUT", `/faults/${part(fault.name)}`, view.grade ? { grade: Number(view.grade.value) } : {});

function gradeOf(fault, view, title) {
  const { min, max, unit } = fault.grade;
  const step = max - min > 5 ? 1 : (max - min) / 20 || 1;
  view.grade = make("input", { type: "range", "aria-label": `How strong: ${title}` });
  Object.assign(view.grade, { min, max, step, value: fault.current_grade ?? fault.grade.default });
  view.shown = make("output", { textContent: `${view.grade.value} ${unit ?? ""}` });
  view.grade.addEventListener("input", () => {
    view.isTouched = true;
    setText(view.shown, `${view.grade.value} ${unit ?? ""}`);
  });
  view.grade.addEventListener("change", () => {
    if (view.toggle.getAttribute("aria-checked") === "true") act(view.grade, () => begin(fault, view));
  });
  return make("span", { class: "grade" }, view.grade, view.shown);
}

function update(view, fault) {
  const isOn = Boolean(fault.is_on);
  if (view.isSet && view.isSet.isOn !== isOn && Date.now() < view.isSet.untilMs) return;
  view.isSet = null;
  show(view, isOn);
}

function show(view, isOn) {
  view.toggle.setAttribute("aria-checked", String(isOn));
  view.element.classList.toggle("is-on", isOn);
}

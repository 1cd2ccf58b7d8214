// Load: which samples, how many users and fruits, and how many of the requests are changes.

import { $, Keyed, make, setText, shortName } from "./dom.js";
import { act, ask, complain } from "./api.js";
import { ordered } from "./ladder.js";

const AT_FIRST = ["crud/basic", "crud/retry", "crud/exp_backoff", "crud/group_commit"];

export class LoadPanel {
  #samples = new Keyed($("load-samples"));

  constructor() {
    const form = $("load-form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(form.querySelector("[type=submit]"), () => start(form));
    });
    const stop = $("load-stop");
    stop.addEventListener("click", () => act(stop, () => ask("DELETE", "/load")));
  }

  show(moment) {
    const load = moment.load;
    this.#samples.show(ordered(load?.choices ?? []), (sample) => sample, create, () => {});
    const samples = load?.is_running ? load.samples : [];
    const text = samples.length
      ? `${load.users} users on ${load.fruits} fruits, ${load.percent_put} % changes: ${samples.map(shortName).join(", ")}`
      : "No load at the moment.";
    setText($("load-state"), text);
  }
}

function create(sample) {
  const box = make("input", { type: "checkbox", name: "samples", value: sample, checked: AT_FIRST.includes(sample) });
  return { element: make("label", {}, box, shortName(sample)) };
}

async function start(form) {
  const data = new FormData(form);
  const samples = data.getAll("samples");
  if (!samples.length) {
    complain("Choose at least one sample.");
    return;
  }
  const number = (name) => Number(data.get(name));
  await ask("PUT", "/load", {
    samples,
    users: number("users"),
    fruits: number("fruits"),
    percent_put: number("percent_put"),
  });
}

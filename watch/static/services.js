// Services: what runs where, whether it is well and if not why, and what can be done to it.

import { $, Keyed, make, setClass, setText } from "./dom.js";
import { act, ask, complain, part } from "./api.js";

export class ServicesPanel {
  #list = new Keyed($("service-list"));

  show(moment) {
    const services = moment.services ?? [];
    this.#list.show(services, (service) => service.label, create, (view, service) =>
      update(view, service, moment.health?.[service.label]),
    );
  }
}

function create({ label }) {
  const view = {};
  const command = (name, text, className) => {
    const button = make("button", { type: "button", class: className, "aria-label": `${text} ${label}`, textContent: text });
    button.addEventListener("click", () => act(button, () => ask("POST", `/services/${part(label)}/${name}`)));
    return button;
  };
  view.state = make("span", { class: "badge" });
  view.link = make("a", { class: "mono", rel: "noreferrer", target: "_blank" });
  view.detail = make("span", { class: "grow" });
  view.kill = command("kill", "Kill", "danger");
  const copy = make("button", { type: "button", "aria-label": `Copy a curl line for ${label}`, textContent: "curl" });
  copy.addEventListener("click", () => act(copy, () => copyLine(copy, view.curl)));
  view.element = make(
    "li",
    { "data-service": label },
    make("span", { class: "name", textContent: label }),
    view.state,
    view.link,
    make("span", { class: "buttons" }, copy, command("restart", "Restart", ""), view.kill),
    view.detail,
  );
  return view;
}

async function copyLine(button, line) {
  try {
    await navigator.clipboard.writeText(line);
  } catch {
    complain(line); // where the clipboard may not be used, the line can be copied from here
    return;
  }
  setText(button, "copied");
  setTimeout(() => setText(button, "curl"), 1500);
}

function update(view, service, health) {
  const state = !service.is_running ? "ended" : (health?.status ?? "starting");
  setText(view.state, state);
  setClass(view.state, `badge ${{ green: "good", red: "bad", ended: "bad" }[state] ?? "warn"}`);
  setText(view.link, service.url.replace("http://", ""));
  view.link.href = `${service.url}/_health?quick=false`;
  view.curl = curlOf(service);
  view.kill.disabled = !service.is_running;
  const reasons = service.is_running ? (health?.reasons ?? []) : [];
  const parts = [...reasons, service.is_running ? `process ${service.pid}` : "", service.log ?? ""];
  setText(view.detail, parts.filter(Boolean).join(" · "));
}

function curlOf({ sample, url }) {
  if (sample === "crud/hash_and_encrypt" || sample.startsWith("crud/")) return `curl -s '${url}/v1.0/fruits?limit=5'`;
  if (sample === "leader") return `curl -s ${url}/v1.0/leader`;
  if (sample === "metrics") return `curl -s ${url}/_metrics`;
  return `curl -s '${url}/_health?quick=false'`;
}

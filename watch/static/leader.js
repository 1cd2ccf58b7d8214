// The leader: who leads, since when, with which fencing token, and how long a change took.

import { $, Keyed, clock, make, setClass, setText, whole } from "./dom.js";
import { act, ask, part } from "./api.js";

export class LeaderPanel {
  #processes = new Keyed($("leader-processes"));

  show(moment) {
    const leader = moment.leader;
    $("leader").querySelector(".empty").hidden = Boolean(leader);
    $("leader-content").hidden = !leader;
    if (!leader) return;
    const leading = leader.processes.find((process) => process.is_leader);
    const now = $("leader-now");
    if (leader.leader) {
      setText(now, `${leading?.label ?? leader.leader} leads`);
      setClass(now, "big good");
    } else {
      const since = leader.leaderless_s === null ? "" : ` for ${leader.leaderless_s.toFixed(1)} s`;
      setText(now, `nobody leads${since}`);
      setClass(now, "big bad");
    }
    setText($("leader-since"), leader.since_s ? clock(leader.since_s) : "–");
    setText($("leader-term"), whole(leader.term));
    setText($("leader-count"), whole(leader.count));
    setText($("leader-handover"), leader.handover_s === null ? "–" : `${leader.handover_s.toFixed(1)} s`);
    this.#processes.show(leader.processes, (process) => process.label, create, update);
  }
}

function create({ label }) {
  const state = make("span", { class: "badge" });
  const kill = make("button", { type: "button", class: "danger", "aria-label": `Kill ${label}`, textContent: "Kill" });
  const restart = make("button", { type: "button", "aria-label": `Restart ${label}`, textContent: "Restart" });
  const element = make(
    "li",
    {},
    make("span", { class: "name", textContent: label }),
    state,
    make("span", { class: "grow" }),
    kill,
    restart,
  );
  kill.addEventListener("click", () => act(kill, () => ask("POST", `/services/${part(label)}/kill`)));
  restart.addEventListener("click", () => act(restart, () => ask("POST", `/services/${part(label)}/restart`)));
  return { element, state, kill };
}

function update(view, process) {
  const text = process.is_leader ? "leads" : process.is_running ? "follows" : "ended";
  setText(view.state, text);
  setClass(view.state, `badge ${process.is_leader ? "good" : process.is_running ? "" : "bad"}`);
  view.kill.disabled = !process.is_running;
}

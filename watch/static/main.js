// Connects the stream of the service to the panels. A page opens one EventSource.

import { $, clock, setClass, setText } from "./dom.js";
import { Moments } from "./moments.js";
import { DocumentsPanel } from "./documents.js";
import { FaultsPanel } from "./faults.js";
import { LadderPanel } from "./ladder.js";
import { LanesPanel } from "./lanes.js";
import { LeaderPanel } from "./leader.js";
import { LoadPanel } from "./load.js";
import { MastersPanel } from "./masters.js";
import { ProtectionPanel } from "./protection.js";
import { ServicesPanel } from "./services.js";

const moments = new Moments();
const panels = {
  ladder: new LadderPanel(moments),
  lanes: new LanesPanel(moments),
  masters: new MastersPanel(),
  leader: new LeaderPanel(),
  load: new LoadPanel(),
  faults: new FaultsPanel(),
  services: new ServicesPanel(),
  protection: new ProtectionPanel(),
  documents: new DocumentsPanel(),
};

// A panel that is not on the screen is not drawn: that would cost the samples processor time.
const onScreen = new Set(["faults"]); // its switches are told in the header, too
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting || target.id === "faults") onScreen.add(target.id);
      else onScreen.delete(target.id);
      if (isIntersecting && moments.shown) panels[target.id].show(moments.shown);
    }
  },
  { rootMargin: "150px" },
);
for (const id of Object.keys(panels)) observer.observe($(id));

moments.onShow((moment, { isSame }) => {
  if (document.hidden) return;
  if (!isSame) for (const id of onScreen) panels[id].show(moment);
  showTime(moment);
});

function showTime(moment) {
  const slider = $("time-slider");
  slider.max = Math.max(0, moments.count - 1);
  slider.value = moments.index;
  const ago = moments.newest.at_s - moment.at_s;
  const text = moments.isLive ? `live, ${clock(moment.at_s)}` : `${ago.toFixed(1)} s ago, ${clock(moment.at_s)}`;
  setText($("time-shown"), text);
  slider.setAttribute("aria-valuetext", text);
  const pause = $("time-pause");
  setText(pause, moments.isLive ? "Stop" : "Go on");
  pause.setAttribute("aria-pressed", String(!moments.isLive));
  document.body.classList.toggle("stopped", !moments.isLive);
}

$("time").addEventListener("submit", (event) => event.preventDefault());
$("time-pause").addEventListener("click", () => (moments.isLive ? moments.stop() : moments.goOn()));
$("time-slider").addEventListener("input", (event) => moments.goTo(Number(event.target.value)));
$("time-conflict").addEventListener("click", () => moments.goToLast(hasConflict) || moments.stop());

function hasConflict(moment) {
  const trees = Object.values(moment.masters?.document?.trees ?? {});
  if (trees.some((tree) => tree.some((node) => node.role === "conflict"))) return true;
  return Object.values(moment.bars ?? {}).some(({ bars }) =>
    bars.some(({ steps }) => steps.some(([what]) => what === "conflict")),
  );
}

function showConnection(text, name) {
  setText($("connection"), text);
  setClass($("connection"), `badge ${name}`);
}

const stream = new EventSource("/stream");
stream.addEventListener("open", () => showConnection("live", "good"));
stream.addEventListener("error", () => showConnection("connection lost, trying again", "bad"));
stream.addEventListener("history", (event) => moments.restore(JSON.parse(event.data)));
stream.addEventListener("moment", (event) => {
  const moment = JSON.parse(event.data);
  const problem = moment.run?.problem;
  showConnection(problem ?? "live", problem ? "bad" : "good");
  moments.add(moment);
});

// Swimlanes: the last requests for one fruit, a bar each, cut into reads, writes, conflicts and pauses.

import { $, Keyed, make, milliseconds, setText, shortName } from "./dom.js";
import { ordered } from "./ladder.js";

const BARS = 10;
const ROW = 18;
const GAP = 5;
const RIGHT = 40; // for the status
const AXIS = 16;
const MOMENTS_LOOKED_AT = 60;
const STEPS_TOLD = 60;
// A request that is open for longer has lost its end: its service was killed, or its stream has ended.
const OPEN_FOR_S = 10;

const COLORS = { read: "--read", write: "--write", conflict: "--conflict-fill", wait: "--wait", queue: "--queue" };
// What to look for in the lane of a sample; others have no note.
const NOTES = {
  "crud/basic": "One try. If another write was faster, the client gets 409.",
  "crud/retry": "Reads and writes again at once, until it wins.",
  "crud/exp_backoff": "Pauses before it tries again.",
  "crud/group_commit": "Changes wait for each other, and are written together.",
  "crud/conditional": "The client says what it has seen. If that is old, it gets 412.",
  "crud/idempotent": "A repeat has the same key, and is answered again without a write.",
  "crud/append_only": "Each change is a document of its own: there is no race.",
  "crud/migration": "Reads fruits of either version, and writes those of its own.",
};

const WORDS = {
  read: "read",
  write: "write",
  conflict: "write lost to another",
  wait: "pause",
  tampered: "tampering noticed",
  merged: "conflict merged",
};

export class LanesPanel {
  #moments;
  #lanes = new Keyed($("lane-cards"));
  #empty = $("lanes").querySelector(".empty");

  constructor(moments) {
    this.#moments = moments;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      if (moments.shown) this.show(moments.shown, true);
    });
  }

  show(moment, isForced = false) {
    const lanes = this.#collect();
    const samples = ordered(lanes.keys());
    this.#empty.hidden = samples.length > 0;
    this.#lanes.show(samples, (sample) => sample, createLane, (view, sample) =>
      updateLane(view, lanes.get(sample), moment, isForced),
    );
  }

  // The newest bars of each sample, as they were at the moment that is shown.
  #collect() {
    const lanes = new Map();
    for (const moment of this.#moments.until(MOMENTS_LOOKED_AT)) {
      for (const [sample, { path, bars }] of Object.entries(moment.bars ?? {})) {
        const lane = lanes.get(sample) ?? { path, bars: new Map() };
        if (lane.path !== path) lane.bars.clear();
        lane.path = path;
        for (const bar of bars) lane.bars.set(bar.key, bar);
        lanes.set(sample, lane);
      }
    }
    return lanes;
  }
}

function createLane(sample) {
  const canvas = make("canvas", { role: "img" });
  const note = make("span", { class: "note", textContent: NOTES[sample] ?? "" });
  const summary = make("span");
  const list = make("ol");
  const details = make("details", {}, make("summary", { textContent: "The last one in words" }), list);
  const fruit = make("small", { class: "mono" });
  const name = make("strong", {}, shortName(sample), fruit);
  const element = make(
    "figure",
    { class: "card lane", "data-sample": sample },
    make("figcaption", {}, name, note, summary),
    canvas,
    details,
  );
  const view = { element, canvas, summary, details, list, fruit, drawn: "" };
  new ResizeObserver(() => view.redraw?.()).observe(canvas);
  details.addEventListener("toggle", () => view.tell?.());
  return view;
}

function updateLane(view, lane, moment, isForced) {
  const bars = [...lane.bars.values()]
    .filter((bar) => bar.ms !== null || moment.at_s - bar.begin_s < OPEN_FOR_S)
    .sort((one, other) => one.begin_s - other.begin_s)
    .slice(-BARS);
  const drawn = bars.map((bar) => `${bar.key} ${bar.ms} ${bar.steps.length}`).join();
  if (view.drawn === drawn && !isForced) return;
  view.drawn = drawn;
  setText(view.fruit, `fruit ${lane.path?.split("/").at(-1).slice(0, 6) ?? ""}`);
  const ended = bars.filter((bar) => bar.ms !== null);
  const last = ended.at(-1);
  setText(view.summary, last ? summaryOf(ended) : "waiting for an answer");
  view.canvas.setAttribute("aria-label", last ? `Last request: ${sentenceOf(last)}` : "no request has ended yet");
  view.redraw = () => draw(view.canvas, bars, moment);
  view.redraw();
  view.tell = () => tell(view, last);
  if (view.details.open) view.tell();
}

const tries = (bar) => bar.steps.reduce((most, [, , , attempt]) => Math.max(most, attempt), 1);
const conflicts = (bar) => bar.steps.filter(([what]) => what === "conflict").length;
const has = (bar, wanted) => bar.steps.some(([what]) => what === wanted);
// A change that succeeds without a write was made before, under the same key.
const isRepeat = (bar) => bar.status < 400 && has(bar, "read") && !has(bar, "write");

function summaryOf(bars) {
  const mean = bars.reduce((sum, bar) => sum + tries(bar), 0) / bars.length;
  const refused = bars.filter((bar) => bar.status >= 400).length;
  const paused = bars.some((bar) => bar.steps.some(([what, , ms]) => what === "wait" && ms > 0));
  const repeated = bars.filter(isRepeat).length;
  const each = mean === 1 ? "1 try" : `${mean.toFixed(1)} tries`;
  const parts = [`${each} each`, `${refused} of ${bars.length} refused`];
  if (repeated) parts.push(`${repeated} answered again`);
  if (paused) parts.push("with pauses");
  return parts.join(", ");
}

function sentenceOf(bar) {
  const count = tries(bar);
  return `${count} ${count === 1 ? "try" : "tries"}, ${conflicts(bar)} lost, answered ${bar.status} after ${milliseconds(bar.ms)}`;
}

function tell(view, bar) {
  if (!bar) return;
  const steps = bar.steps.slice(0, STEPS_TOLD).map(([what, begin, length, attempt]) =>
    make("li", { textContent: `at ${milliseconds(begin)}: ${WORDS[what] ?? what}, ${milliseconds(length)} (attempt ${attempt})` }),
  );
  view.list.replaceChildren(...steps, make("li", { textContent: `${bar.status} after ${milliseconds(bar.ms)}` }));
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

function draw(canvas, bars, moment) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const color = palette();
  const length = (bar) => bar.ms ?? Math.max(1, 1000 * (moment.at_s - bar.begin_s));
  const ended = bars.filter((bar) => bar.ms !== null);
  const longest = Math.max(1, ...(ended.length ? ended : bars).map(length));
  const room = width - RIGHT;
  const toX = (ms) => Math.min(ms / longest, 1) * room;
  context.font = "10px system-ui, sans-serif";
  context.textBaseline = "middle";
  bars.forEach((bar, i) => drawBar(context, bar, i * ROW, length(bar), toX, color));
  context.fillStyle = color("--quiet");
  context.textAlign = "left";
  context.fillText("0", 0, BARS * ROW + AXIS / 2);
  context.textAlign = "right";
  context.fillText(milliseconds(longest), room, BARS * ROW + AXIS / 2);
}

function drawBar(context, bar, top, length, toX, color) {
  const height = ROW - GAP;
  const end = Math.min(Math.max(toX(length), 2), toX(Infinity));
  context.fillStyle = color(COLORS.queue);
  context.fillRect(0, top, end, height);
  let labelled = 0;
  for (const [what, begin, ms, attempt] of bar.steps) {
    if (!(what in COLORS)) continue;
    const x = toX(begin);
    const wide = Math.max(toX(Math.min(begin + ms, length)) - x - 0.5, 1);
    if (what === "wait") drawPause(context, x, top, wide, height, color(COLORS.wait));
    else {
      context.fillStyle = color(COLORS[what]);
      context.fillRect(x, top, wide, height);
    }
    if (attempt > labelled && wide > 9 && what !== "wait") {
      labelled = attempt;
      context.fillStyle = color("--on-color");
      context.textAlign = "left";
      context.fillText(String(attempt), x + 2, top + height / 2 + 0.5);
    }
  }
  if (bar.ms === null) return;
  const isGood = bar.status < 400;
  const middle = top + height / 2;
  context.fillStyle = color(isGood ? "--success" : "--refusal");
  context.beginPath();
  context.arc(end + 8, middle, 4.5, 0, 2 * Math.PI);
  context.fill();
  context.textAlign = "left";
  const text = isRepeat(bar) ? "again" : "✓";
  context.fillText(isGood ? text : String(bar.status), end + 15, middle + 0.5);
}

function drawPause(context, x, top, width, height, color) {
  context.save();
  context.beginPath();
  context.rect(x, top, width, height);
  context.clip();
  context.strokeStyle = color;
  context.lineWidth = 1.5;
  for (let start = x - height; start < x + width; start += 5) {
    context.beginPath();
    context.moveTo(start, top + height);
    context.lineTo(start + height, top);
    context.stroke();
  }
  context.restore();
}

// The ladder: a card for each sample, with the last minute and its books.

import { $, Keyed, make, milliseconds, rate, setClass, setText, shortName, whole } from "./dom.js";
import { LineChart } from "./charts.js";

const SERIES = [
  ["succeeded", "--success"],
  ["refused", "--refusal"],
  ["conflicts met", "--conflict-fill"],
];
const RATES = ["succeeded", "refused", "met"];
// The order in which one reads them; what comes later follows.
const ORDER = [
  "crud/basic",
  "crud/retry",
  "crud/exp_backoff",
  "crud/group_commit",
  "crud/conditional",
  "crud/idempotent",
  "crud/append_only",
  "crud/migration",
];
const MINUTE_S = 60;
const MOMENTS_A_MINUTE = 125;

export const ordered = (samples) =>
  [...samples].sort((one, other) => place(one) - place(other) || one.localeCompare(other));

const place = (sample) => (ORDER.includes(sample) ? ORDER.indexOf(sample) : ORDER.length);

export class LadderPanel {
  #moments;
  #cards = new Keyed($("rungs"));
  #empty = $("ladder").querySelector(".empty");

  constructor(moments) {
    this.#moments = moments;
  }

  show(moment) {
    const ladder = moment.ladder ?? {};
    const samples = ordered(Object.keys(ladder));
    this.#empty.hidden = samples.length > 0;
    this.#cards.show(
      samples,
      (sample) => sample,
      (sample) => createCard(sample),
      (view, sample) => this.#update(view, sample, moment),
    );
  }

  #update(view, sample, moment) {
    const figures = moment.ladder[sample];
    if (!figures.rates) return;
    const { rates, minute } = figures;
    setText(view.succeeded, rate(rates.succeeded));
    setText(view.refused, rate(rates.refused));
    setText(view.met, rate(rates.met));
    setText(view.waiting, rate(figures.waiting));
    setText(view.p50, milliseconds(figures.p50_ms));
    setText(view.p99, milliseconds(figures.p99_ms));
    setText(view.resolved, whole(minute.resolved));
    setText(view.givenUp, whole(minute.given_up));
    const isQuiet = !(minute.succeeded || minute.refused || minute.failed);
    view.element.classList.toggle("quiet", isQuiet && !moment.books?.[sample]);
    showBooks(view, moment.books?.[sample]);
    view.chart.show(this.#lines(sample, moment));
  }

  #lines(sample, moment) {
    const times = [];
    const lines = RATES.map(() => []);
    for (const each of this.#moments.until(MOMENTS_A_MINUTE)) {
      const rates = each.ladder?.[sample]?.rates;
      const ago = each.at_s - moment.at_s;
      if (!rates || ago < -MINUTE_S) continue;
      times.push(ago);
      RATES.forEach((name, i) => lines[i].push(rates[name]));
    }
    return [times, ...lines];
  }
}

function createCard(sample) {
  const view = {};
  const figure = (name, title, className = "") => {
    view[name] = make("dd", { class: className, textContent: "–" });
    return make("div", {}, make("dt", { textContent: title }), view[name]);
  };
  const chart = make("div", { class: "chart", "aria-hidden": "true" });
  view.books = make("p", { class: "books" });
  view.element = make(
    "article",
    { class: "card", "data-sample": sample, "aria-label": sample },
    make("h3", { textContent: shortName(sample) }),
    make("p", { class: "idle", textContent: "no requests in the last minute" }),
    make(
      "dl",
      { class: "figures" },
      figure("succeeded", "success /s", "success"),
      figure("refused", "refused /s", "refusal"),
      figure("met", "conflicts /s", "conflict"),
      figure("waiting", "waiting"),
      figure("p50", "p50"),
      figure("p99", "p99"),
      figure("resolved", "resolved"),
      figure("givenUp", "given up"),
    ),
    chart,
    view.books,
  );
  view.chart = new LineChart(chart, SERIES);
  return view;
}

function showBooks(view, books) {
  if (!books) {
    setText(view.books, "No books yet: it gets no load from locust.");
    return;
  }
  const lost = books.lost ?? 0;
  const text = `${books.acknowledged}|${books.in_database}|${lost}|${books.unknown}`;
  if (view.books.dataset.text === text) return;
  view.books.dataset.text = text;
  const verdict = make("span", { textContent: `lost: ${whole(lost)}` });
  setClass(verdict, lost > 0 ? "lost some" : "lost none");
  const entry = (title, value) => make("span", {}, `${title} `, make("b", { textContent: whole(value) }));
  view.books.replaceChildren(
    entry("acknowledged", books.acknowledged),
    entry("in the database", books.in_database),
    ...(books.unknown ? [entry("unknown", books.unknown)] : []),
    verdict,
  );
}

// Charts by uPlot. Where it is not installed there are none, and the figures have to do.

const uPlot = await import("./uplot.js").then(
  (library) => library.default,
  () => null,
);

export const hasCharts = uPlot !== null;
const dark = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 92;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Lines over the last minute; `series` are [label, name of the color].
export class LineChart {
  #element;
  #series;
  #plot = null;
  #data;

  constructor(element, series) {
    this.#element = element;
    this.#series = series;
    this.#data = [[], ...series.map(() => [])];
    if (!hasCharts) {
      element.hidden = true;
      return;
    }
    dark.addEventListener("change", () => this.#draw());
    new ResizeObserver(() => {
      const width = this.#element.clientWidth;
      if (!this.#plot) this.#draw();
      else if (width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    }).observe(element);
  }

  show(data) {
    this.#data = data;
    this.#plot?.setData(data);
  }

  #draw() {
    const width = this.#element.clientWidth;
    if (!width) return;
    this.#plot?.destroy();
    const axis = { stroke: color("--quiet"), font: "11px system-ui", grid: { stroke: color("--line"), width: 1 } };
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: [-60, 0] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [
        { ...axis, size: 20, values: (_, splits) => splits.map((s) => (s === 0 ? "now" : `${-s} s ago`)), ticks: { show: false } },
        { ...axis, size: 36, ticks: { show: false } },
      ],
      series: [
        {},
        ...this.#series.map(([label, name]) => ({ label, stroke: color(name), width: 2, points: { show: false } })),
      ],
    };
    this.#plot = new uPlot(options, this.#data, this.#element);
  }
}

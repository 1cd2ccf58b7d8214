// Two masters: the link between them, what differs, and one fruit's revision tree on either side.

import { $, make, makeSvg, setText, whole } from "./dom.js";
import { act, ask, complain, part } from "./api.js";

const COLUMN = 32;
const LINE = 30;
const MARGIN = 18;
const LABEL = 104;
const LINK_FAULTS = { cut: "masters-cut", slow: "masters-slow" };

export class MastersPanel {
  #faults = [];
  #drawn = "";

  constructor() {
    for (const button of $("link").querySelectorAll("button")) {
      button.addEventListener("click", () => act(button, () => this.#switch(button.dataset.link)));
    }
  }

  show(moment) {
    this.#faults = moment.faults ?? this.#faults;
    const masters = moment.masters;
    $("masters").querySelector(".empty").hidden = Boolean(masters);
    $("masters-content").hidden = !masters;
    if (!masters) return;
    const [one, two] = masters.names;
    setText($("master-one"), one);
    setText($("master-two"), two);
    setText($("documents-one"), documents(masters.documents[one]));
    setText($("documents-two"), documents(masters.documents[two]));
    $("link").dataset.link = masters.link;
    setText($("link-state"), masters.link);
    for (const button of $("link").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.link === masters.link));
    }
    showVerdict(masters, moment.books);
    this.#showTrees(masters);
  }

  async #switch(link) {
    const named = (wanted) => this.#faults.find((fault) => fault.name === LINK_FAULTS[wanted]);
    for (const other of Object.keys(LINK_FAULTS)) {
      const fault = named(other);
      // Also if it is off as far as the page knows: that may be old.
      if (other !== link && fault) await ask("DELETE", `/faults/${part(fault.name)}`);
    }
    if (link === "up") return;
    const fault = named(link);
    if (fault) await ask("PUT", `/faults/${part(fault.name)}`);
    else complain("This run has no such fault.");
  }

  #showTrees(masters) {
    const drawn = JSON.stringify(masters.document);
    if (this.#drawn === drawn) return;
    this.#drawn = drawn;
    if (!masters.document) {
      $("trees").replaceChildren(make("p", { class: "empty", textContent: "No document has changed yet." }));
      return;
    }
    const { id, trees, is_equal: isEqual } = masters.document;
    const places = layOut(Object.values(trees).flat());
    $("trees").replaceChildren(
      ...masters.names.map((name) => {
        const other = masters.names.find((each) => each !== name);
        const known = new Set((trees[other] ?? []).map((node) => node.rev));
        const leaves = (trees[name] ?? []).filter((node) => node.role && node.role !== "deleted").length;
        const caption = `${name}: fruit ${id.slice(0, 8)}…, ${leaves} live ${leaves === 1 ? "leaf" : "leaves"}, ${
          isEqual ? "equal on both sides" : "different on the two sides"
        }`;
        return make(
          "figure",
          { class: "card tree", "data-master": name, "data-leaves": String(leaves) },
          make("figcaption", { textContent: caption }),
          make("div", { class: "scroll", tabIndex: 0 }, drawTree(trees[name] ?? [], known, places, caption)),
        );
      }),
    );
    for (const tree of $("trees").querySelectorAll(".scroll")) tree.scrollLeft = tree.scrollWidth;
  }
}

function showVerdict(masters, books) {
  const verdict = $("verdict");
  const lost = Object.entries(books ?? {}).find(([sample]) => sample.includes("multi_master"))?.[1]?.lost;
  const lostText = lost === undefined || lost === null ? "" : `, ${whole(lost)} lost`;
  let text;
  let name;
  if (masters.differing > 0) {
    text = `${whole(masters.differing)} ${masters.differing === 1 ? "document differs" : "documents differ"}`;
    if (masters.link === "cut") text += " while the link is cut";
    name = "warn";
  } else if (masters.equal_again_after_s !== null) {
    text = `equal again after ${masters.equal_again_after_s.toFixed(1)} s${lostText}`;
    name = "good";
  } else {
    text = `both hold the same leaves${lostText}`;
    name = "good";
  }
  setText(verdict, text);
  verdict.className = `verdict ${name}`;
}

const documents = (count) => `${whole(count)} ${count === 1 ? "document" : "documents"}`;

const generation = (rev) => Number(rev.split("-", 1)[0]);

// The line of each revision, the same on both sides: a line for each branch, used again where it is free.
function layOut(nodes) {
  const byRev = new Map(nodes.map((node) => [node.rev, node]));
  const rank = { winner: 0, conflict: 1, "": 2, deleted: 3 };
  const parents = new Set([...byRev.values()].map((node) => node.parent));
  const tips = [...byRev.values()]
    .filter((node) => !parents.has(node.rev))
    .sort((a, b) => rank[a.role] - rank[b.role] || generation(b.rev) - generation(a.rev) || a.rev.localeCompare(b.rev));
  const places = new Map();
  const taken = []; // for each line, the generations of its branches and their labels
  for (const tip of tips) {
    const branch = [];
    for (let node = tip; node && !places.has(node.rev) && !branch.includes(node.rev); node = byRev.get(node.parent)) {
      branch.push(node.rev);
    }
    const from = byRev.get(branch.at(-1)).depth - 1;
    const to = tip.depth + Math.ceil(LABEL / COLUMN);
    let line = taken.findIndex((spans) => spans.every(([start, end]) => to < start || from > end));
    if (line < 0) line = taken.push([]) - 1;
    taken[line].push([from, to]);
    for (const rev of branch) places.set(rev, line);
  }
  return places;
}

function drawTree(nodes, known, places, caption) {
  const depths = nodes.map((node) => node.depth);
  const last = Math.max(1, ...depths);
  const lines = Math.max(0, ...places.values()) + 1;
  const byRev = new Map(nodes.map((node) => [node.rev, node]));
  const x = (node) => MARGIN + (node.depth - 1) * COLUMN;
  const y = (node) => MARGIN + places.get(node.rev) * LINE;
  const width = 2 * MARGIN + (last - 1) * COLUMN + LABEL;
  const height = 2 * MARGIN + (lines - 1) * LINE + 8;
  const svg = makeSvg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": caption });
  for (const node of nodes) {
    const parent = byRev.get(node.parent);
    if (!parent) continue;
    const middle = (x(parent) + x(node)) / 2;
    const path = `M${x(parent)} ${y(parent)} C${middle} ${y(parent)} ${middle} ${y(node)} ${x(node)} ${y(node)}`;
    svg.append(makeSvg("path", { class: node.skipped ? "edge long" : "edge", d: path }));
    if (node.skipped) {
      const text = makeSvg("text", { x: middle, y: y(node) - 7, "text-anchor": "middle" });
      text.textContent = `+${node.skipped}`;
      svg.append(text);
    }
  }
  for (const node of nodes) svg.append(drawNode(node, known, x(node), y(node)));
  return svg;
}

function drawNode(node, known, x, y) {
  const isAlone = !known.has(node.rev);
  const names = ["node", node.role, isAlone ? "alone" : ""].filter(Boolean).join(" ");
  const group = makeSvg("g", { class: names, transform: `translate(${x} ${y})` });
  const title = makeSvg("title");
  title.textContent = [node.rev, node.role, node.color, isAlone ? "only on this side" : ""].filter(Boolean).join(", ");
  group.append(title, makeSvg("circle", { r: node.role === "winner" ? 8 : 6 }));
  if (node.role) {
    const word = { winner: "winner", conflict: "loser", deleted: "deleted" }[node.role];
    const text = makeSvg("text", { x: 12, y: 4 });
    text.textContent = `${node.rev.slice(0, node.rev.indexOf("-") + 4)} ${word}`;
    group.append(text);
  }
  return group;
}

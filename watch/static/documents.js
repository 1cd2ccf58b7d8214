// Documents: the latest of one service's database, and the leaf revisions of one of them.

import { $, make } from "./dom.js";
import { act, ask, part } from "./api.js";
import { json } from "./protection.js";

const SHOWN_REVISIONS = 5;

export class DocumentsPanel {
  #labels = "";

  constructor() {
    const button = $("documents-show");
    button.addEventListener("click", () => act(button, () => showLatest($("documents-service").value)));
  }

  show(moment) {
    const labels = (moment.services ?? []).filter(({ sample }) => sample.startsWith("crud/")).map(({ label }) => label);
    if (this.#labels === labels.join()) return;
    this.#labels = labels.join();
    const select = $("documents-service");
    const chosen = select.value;
    select.replaceChildren(...labels.map((label) => make("option", { value: label, textContent: label })));
    if (labels.includes(chosen)) select.value = chosen;
  }
}

async function showLatest(label) {
  if (!label) return;
  const documents = await ask("GET", `/documents/${part(label)}`);
  $("document-leaves").replaceChildren();
  if (!documents.length) {
    $("documents-list").replaceChildren(make("p", { class: "empty", textContent: "This database has no documents." }));
    return;
  }
  const titles = ["Document", "Revision", "Conflicts", "Color", "Changes", "Updated", ""];
  const rows = documents.map((each) => rowOf(label, each));
  $("documents-list").replaceChildren(
    make(
      "table",
      {},
      make("caption", { class: "visually-hidden", textContent: `Latest documents of ${label}` }),
      make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col", textContent: title || " " })))),
      make("tbody", {}, ...rows),
    ),
  );
}

function rowOf(label, document) {
  const cell = (text, className = "") => make("td", { class: className, textContent: text ?? "–" });
  const conflicts = document._conflicts?.length ?? 0;
  const count = document.change_count ?? size(document.changes);
  const button = make("button", { type: "button", textContent: "Leaves", "aria-label": `Leaves of ${document._id}` });
  button.addEventListener("click", () => act(button, () => showLeaves(label, document._id)));
  return make(
    "tr",
    {},
    cell(document._id, "mono"),
    cell(document._rev.slice(0, 12), "mono"),
    cell(String(conflicts), conflicts ? "warn" : ""),
    cell(document.color),
    cell(count === undefined ? "–" : String(count)),
    cell(document.updated_on?.slice(0, 19).replace("T", " ")),
    make("td", {}, button),
  );
}

// A set of changes has ranges of numbers by writer; see tor_async_couchdb/model/change_sets.py.
function size(changes) {
  if (!changes) return undefined;
  const ranges = Object.values(changes).flat();
  return ranges.reduce((total, [first, last]) => total + last - first + 1, 0);
}

// The path of a leaf may have a thousand revisions: the newest are shown.
function shortened(leaf) {
  const { start, ids } = leaf._revisions;
  const more = ids.length - SHOWN_REVISIONS;
  const shown = ids.slice(0, SHOWN_REVISIONS);
  return { ...leaf, _revisions: { start, ids: more > 0 ? [...shown, `… ${more} more`] : shown } };
}

async function showLeaves(label, id) {
  const leaves = await ask("GET", `/documents/${part(label)}/${part(id)}`);
  $("document-leaves").replaceChildren(
    make("h3", { textContent: `${leaves.length} ${leaves.length === 1 ? "leaf" : "leaves"} of ${id}` }),
    ...leaves.map((leaf) => json(shortened(leaf), ["_rev", "_deleted"])),
  );
}

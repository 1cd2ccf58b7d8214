// Tampering and encryption: an attack and its alarm; a document as it is stored, and as the service shows it.

import { $, make, setText } from "./dom.js";
import { act, ask, part } from "./api.js";

export class ProtectionPanel {
  #fruit = null;

  constructor() {
    listAttacks();
    const form = $("attack-form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(form.querySelector("[type=submit]"), async () => showAttack(await ask("POST", `/attacks/${part(form.attack.value)}`)));
    });
    const add = $("person-add");
    add.addEventListener("click", () => act(add, async () => this.#showPerson(await ask("POST", "/people"), false)));
    const forget = $("person-forget");
    forget.addEventListener("click", () =>
      act(forget, async () => this.#showPerson(await ask("DELETE", `/people/${part(this.#fruit)}`), true)),
    );
  }

  show() {}

  #showPerson(person, isForgotten) {
    this.#fruit = person.fruit_id;
    $("person-forget").disabled = isForgotten;
    const sentence = isForgotten
      ? "Her data key is deleted. The ciphertext stays, in all copies, and nobody can read it."
      : "The service shows her data; the database has ciphertexts and hashes.";
    $("person-result").replaceChildren(
      make("p", { class: `alarm ${isForgotten ? "" : "quiet"}`, textContent: sentence }),
      sides(
        side("As it is stored", json(person.stored, ["email", "address", "email_hash", "pin_hash", "owner_id"])),
        side(`What the service answers: ${person.status}`, json(person.answer, ["email", "address", "owner_id"])),
      ),
    );
  }
}

async function listAttacks() {
  const attacks = await ask("GET", "/attacks");
  const list = $("attack-list");
  attacks.forEach(({ name, sentence }, i) => {
    const radio = make("input", { type: "radio", name: "attack", value: name, checked: i === 0 });
    list.append(make("label", {}, radio, sentence));
  });
}

function showAttack(attack) {
  const changed = changedNames(attack.before, attack.after ?? {});
  const verdict = make("p", { class: `alarm ${attack.is_caught ? "" : "quiet"}` });
  setText(
    verdict,
    attack.is_caught
      ? `ALARM after ${attack.answered_after_ms} ms: ${attack.answer.detail}`
      : `Not noticed by the signature alone: the service answers ${attack.status}. A witness would notice.`,
  );
  $("attack-result").replaceChildren(
    verdict,
    make("p", {}, "Alarms counted: ", make("code", { textContent: `tampering_detected_total +${attack.alarms}` })),
    sides(
      side("Stored before", json(attack.before, changed)),
      side("Stored after the attack", attack.after ? json(attack.after, changed) : make("p", { textContent: "deleted" })),
    ),
    side(`What the service answers: ${attack.status}`, json(attack.answer, [])),
  );
}

function changedNames(before, after) {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]) && name !== "_rev");
}

const sides = (...parts) => make("div", { class: "sides" }, ...parts);
const side = (title, content) => make("div", {}, make("h4", { textContent: title }), content);

// A document as JSON, a line for each member; those that matter are marked.
export function json(value, marked) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return make("pre", { textContent: JSON.stringify(value, null, 2) });
  }
  const pre = make("pre", {}, "{\n");
  const entries = Object.entries(value);
  entries.forEach(([name, member], i) => {
    const line = `  ${JSON.stringify(name)}: ${JSON.stringify(member)}${i < entries.length - 1 ? "," : ""}`;
    pre.append(marked.includes(name) ? make("mark", { textContent: line }) : line, "\n");
  });
  pre.append("}");
  return pre;
}

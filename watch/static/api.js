// Requests to the page's own service. Changes need the token that it prints into its page.

import { $, make } from "./dom.js";

const meta = document.querySelector('meta[name="token"]');
const SHOWN_MS = 8000;

export async function ask(method, path, body) {
  const headers = method === "GET" ? {} : { "Content-Type": "application/json", [meta.dataset.header]: meta.content };
  const sent = method === "GET" ? undefined : JSON.stringify(body ?? {});
  const answer = await fetch(path, { method, headers, body: sent });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(value?.detail ?? `The service answered ${answer.status}.`);
  return value;
}

export function complain(text) {
  const message = make("p", { textContent: text });
  $("messages").append(message);
  setTimeout(() => message.remove(), SHOWN_MS);
}

// Does what a button is for, once at a time; an error is shown.
export async function act(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    complain(error.message);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

export const part = (text) => encodeURIComponent(text);

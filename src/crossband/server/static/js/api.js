// The one way to the server.
import { h, toast } from "./dom.js";

const BASE = "/api/v1";

export class Refused extends Error {
  constructor(status, detail, parameter) {
    super(detail);
    this.status = status;
    this.parameter = parameter;
  }
}

export async function call(path, { method = "GET", json, form, signal } = {}) {
  const headers = json ? { "content-type": "application/json" } : {};
  const answer = await fetch(BASE + path, { method, headers, body: json ? JSON.stringify(json) : form, signal });
  if (answer.status === 401 && path !== "/session") {
    await askToken();
    return call(path, { method, json, form, signal });
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ detail: `the server answered ${answer.status}` }));
    throw new Refused(answer.status, told.detail, told.parameter);
  }
  return answer;
}

export const get = async (path, options) => (await call(path, options)).json();
export const post = async (path, options) => (await call(path, { method: "POST", ...options })).json();

export function query(values) {
  const pairs = Object.entries(values).filter(([, v]) => v !== null && v !== undefined && v !== "");
  const text = new URLSearchParams(pairs).toString();
  return text ? `?${text}` : "";
}

export function form(values) {
  const made = new FormData();
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined && value !== "") made.append(name, value);
  return made;
}

// A picture and what its colors mean.
export async function picture(path) {
  const answer = await call(path);
  const about = JSON.parse(answer.headers.get("crossband-picture") ?? "{}");
  return { url: URL.createObjectURL(await answer.blob()), ...about };
}

export const address = (path) => BASE + path;

// What is wrong with a condition, in words about what the user wrote alone: a page puts filters around it.
export async function fault(error, at, where) {
  if (error.parameter !== "where" || !where.trim()) return error.message;
  return call(`${at}/items${query({ where, limit: 1 })}`).then(() => error.message, (own) => own.message);
}

export function failed(error) {
  if (error.name !== "AbortError") toast(error.message, true);
}

let asking = null;
function askToken() {
  asking ??= new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "current-password", required: true, id: "token" });
    const wrong = h("p", { class: "small", role: "alert" });
    const dialog = h("dialog", { "aria-labelledby": "token-title" },
      h("form", { class: "stack", onsubmit: async (event) => {
        event.preventDefault();
        try {
          await call("/session", { method: "POST", json: { token: input.value } });
          dialog.close();
          dialog.remove();
          asking = null;
          resolve();
        } catch (error) { wrong.textContent = error.message; }
      } },
      h("h2", { id: "token-title" }, "This server asks for a token"),
      h("p", { class: "soft small" }, "Whoever started it has the token. It is kept in a cookie that scripts cannot read."),
      h("label", { class: "field" }, h("span", {}, "Token"), input), wrong,
      h("button", { class: "button primary", type: "submit" }, "Open")));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

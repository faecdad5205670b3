// The API's description as a page, read from /openapi.json.
import { h } from "./dom.js";

const answer = await fetch("/openapi.json");
const box = document.getElementById("operations");
if (!answer.ok) box.append(h("p", {}, answer.status === 401 ? "Open the page at / first, and give the token." : `The server answered ${answer.status}.`));
else {
  const { paths } = await answer.json();
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) for (const [method, one] of Object.entries(methods)) {
    const name = one.tags?.[0] ?? "other";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push({ path, method, ...one });
  }
  for (const [name, list] of groups) box.append(h("section", { class: "stack" }, h("h2", {}, name), h("div", { class: "card" }, list.map((one) =>
    h("article", { class: "operation" }, h("code", {}, `${one.method.toUpperCase()} ${one.path}`), h("strong", {}, one.summary), h("p", { class: "soft small" }, one.description ?? ""),
      one.parameters?.length ? h("p", { class: "small" }, one.parameters.map((p) => h("span", { class: "chip" }, p.name))) : null)))));
}

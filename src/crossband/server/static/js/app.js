// The frame around the views: navigation, gallery, color scheme.
import { fault, get } from "./api.js";
import { empty, fill, h, icon, spinner } from "./dom.js";
import { at, state } from "./state.js";
import { browse } from "./views/browse.js";
import { compare } from "./views/compare.js";
import { flight } from "./views/flight.js";
import { jobs } from "./views/jobs.js";
import { map } from "./views/map.js";
import { reports } from "./views/reports.js";
import { search } from "./views/search.js";

const VIEWS = { search, compare, map, browse, flight, reports, jobs };
const main = document.getElementById("main");
let leave = null;
let turn = 0; // of what is shown: a view that is ready after another was asked for is not

function drawNav(current) {
  fill(document.getElementById("nav"), ...Object.keys(VIEWS).map((name) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null },
      icon(name), h("span", {}, name[0].toUpperCase() + name.slice(1)))));
}

async function show(focus) {
  const mine = ++turn;
  const [name, argument] = location.hash.replace(/^#\//, "").split("/");
  const view = VIEWS[name] ? name : "search";
  drawNav(view);
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · crossband`;
  leave?.();
  leave = null;
  fill(main, spinner("Loading"));
  try {
    const { node, close } = await VIEWS[view](argument ? decodeURIComponent(argument) : null);
    if (mine !== turn) {
      close?.();
      return;
    }
    leave = close ?? null;
    fill(main, node);
    if (focus) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (error) {
    const said = await fault(error, at(), state.where);
    if (mine !== turn) return;
    fill(main, empty("This view cannot be shown", said));
  }
}

function drawTheme() {
  const button = document.getElementById("theme");
  const dark = document.documentElement.dataset.theme === "dark";
  fill(button, icon(dark ? "sun" : "moon"));
  button.setAttribute("aria-label", dark ? "Use light colors" : "Use dark colors");
  button.onclick = () => {
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("crossband.theme", dark ? "light" : "dark");
    drawTheme();
  };
}

function drawGalleries() {
  const select = document.getElementById("gallery");
  fill(select, ...state.galleries.map((one) => h("option", { value: one.name, selected: one.name === state.gallery }, `${one.name} (${one.items.toLocaleString()})`)));
  select.onchange = () => {
    Object.assign(state, { gallery: select.value, answer: null, compared: null, filters: {}, where: "" });
    if (state.query?.item) state.query = null;
    show(false);
  };
}

async function begin() {
  drawTheme();
  drawNav("search");
  fill(main, spinner("Opening the gallery"));
  try {
    state.health = await get("/health");
    state.galleries = await get("/galleries");
    state.gallery = state.galleries[0]?.name ?? null;
  } catch (error) {
    fill(main, empty("The server does not answer", error.message));
    return;
  }
  drawGalleries();
  addEventListener("hashchange", () => show(true));
  await show(false);
}

begin();

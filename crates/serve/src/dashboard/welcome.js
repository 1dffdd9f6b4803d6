// The first minute of a new viewer: well-known titles of many genres, a search, three picks.

import { at, h, inWords, plural, s } from "./dom.js";
import { get } from "./api.js";
import { cover, titleOf } from "./cover.js";

// The words below say three as well.
const WANTED = 3;
const OFFERED = 16;

/** Shows the picker. `changed(picks)` is called at each pick, `done(picks)` at the third, `skip()` if nobody wants to. */
export async function welcome({ changed, done, skip }) {
  const section = at("onboarding");
  const picks = [];
  const grid = h("div", { class: "picks", role: "group", "aria-label": "Titles to pick from" });
  const foot = h("p", { class: "foot" });
  const search = h("input", { type: "search", placeholder: "or search for a title", "aria-label": "Search for a title", autocomplete: "off", spellcheck: "false" });
  section.replaceChildren(
    h("div", { class: "onboarding-head" },
      h("div", {}, h("h1", { id: "onboarding-title" }, "Pick three titles you like"), h("p", {}, "The feed below follows with each one, and is yours after the third.")),
      search),
    grid, foot);
  section.hidden = false;

  function say() {
    const marks = h("span", { class: "steps3", "aria-hidden": "true" }, [...Array(WANTED).keys()].map((i) => h("i", { class: i < picks.length ? "on" : "" })));
    foot.replaceChildren(
      h("span", {}, marks, `${picks.length} of ${WANTED}`),
      picks.length ? h("span", {}, picks.map(titleOf).join(" · ")) : "",
      h("button", { type: "button", class: "plain", onclick: skip }, "Skip: show what is popular"));
  }
  function toggle(video, button) {
    const place = picks.findIndex((pick) => pick.id === video.id);
    if (place >= 0) picks.splice(place, 1);
    else if (picks.length < WANTED) picks.push(video);
    button.setAttribute("aria-pressed", String(place < 0));
    say();
    if (picks.length === WANTED) done(picks);
    else changed(picks);
  }
  function offer(videos, nothing) {
    grid.replaceChildren(...videos.map((video) => {
      const { colours, inside } = cover(video);
      const button = h("button", {
        type: "button", class: "cover pick", "data-video": video.id, ...colours, title: titleOf(video), "aria-pressed": String(picks.some((pick) => pick.id === video.id)),
        "aria-label": [titleOf(video), video.year].filter(Boolean).join(", "), onclick: () => toggle(video, button),
      }, inside, h("span", { class: "tick", "aria-hidden": "true" }, s("svg", { viewBox: "0 0 24 24" }, s("path", { d: "m4.5 12.5 5 5 10-11" }))));
      return button;
    }));
    if (!videos.length) grid.replaceChildren(h("p", { class: "state" }, nothing));
  }
  async function ask(query) {
    try {
      const { videos } = await get("/api/v2/videos", { query, n: OFFERED });
      if (search.value.trim() === query) offer(videos, query ? `No title has “${query}” in it.` : "There are no titles to pick from.");
      if (query && search.value.trim() === query) at("live").textContent = `${plural(videos.length, "title")} found`;
    } catch (error) {
      grid.replaceChildren(h("p", { class: "state" }, inWords("The titles did not come", error)));
    }
  }
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => ask(search.value.trim()), 140);
  });
  // Arrow keys move between the titles here as they do in the feed.
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const shown = [...grid.querySelectorAll(".pick")].filter((pick) => pick.offsetParent);
    const across = Math.max(1, shown.filter((pick) => pick.offsetTop === shown[0]?.offsetTop).length);
    const by = step ?? { ArrowDown: across, ArrowUp: -across }[event.key];
    const next = by && shown[shown.indexOf(event.target) + by];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  say();
  await ask("");
}

/** Hides the picker. */
export function farewell() {
  at("onboarding").hidden = true;
  at("onboarding").replaceChildren();
}

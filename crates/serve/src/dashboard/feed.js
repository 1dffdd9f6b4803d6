// The shelves: draws them, lets cards glide to their new places, and moves between cards on the keyboard.

import { at, h } from "./dom.js";
import { cover, labelsOf, titleOf } from "./cover.js";
import { ACTIONS, icon } from "./events.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const open = new Set();

/** Text with the titles it names set apart: "because you liked Heat" names Heat. */
export function reasonOf(item, titles) {
  const text = item.reason?.text ?? "";
  const named = item.reason?.video ? titles.get(item.reason.video) : null;
  const start = named ? text.indexOf(named) : -1;
  if (start < 0) return [text];
  return [text.slice(0, start), h("em", {}, named), text.slice(start + named.length)];
}

/** Shows shelves. Cards of videos that stay are kept and glide; `act(action, item)` and `detail(item)` are called back. */
export function show(shelves, { titles, act, detail }) {
  const region = at("shelves");
  const focus = focused();
  const before = new Map();
  for (const card of region.querySelectorAll(".card")) {
    before.set(card.dataset.video, { card, box: card.offsetParent ? card.getBoundingClientRect() : null });
  }
  const scrolled = new Map([...region.querySelectorAll(".shelf")].map((shelf, i) => [i, shelf.querySelector(".cards").scrollLeft]));
  const used = new Set();
  const drawn = shelves.filter((shelf) => shelf.items.length).map((shelf, i) => {
    const cards = shelf.items.map((item) => {
      const old = used.has(item.id) ? null : before.get(item.id)?.card;
      used.add(item.id);
      return card(item, old, { titles, act, detail });
    });
    return section(shelf, i, cards);
  });
  region.replaceChildren(...drawn);
  for (const [i, left] of scrolled) {
    const strip = region.querySelectorAll(".cards")[i];
    if (strip) strip.scrollLeft = left;
  }
  refocus(focus);
  if (!still.matches) glide(region, before, used);
}

function section(shelf, i, cards) {
  const id = `shelf-${i}`;
  const all = open.has(shelf.name);
  const rows = i === 0 ? "two-rows" : "one-row";
  const fits = i === 0 ? 10 : 5;
  const list = h("ul", { class: `cards ${rows}${all ? " all" : ""}`, "aria-labelledby": id }, cards);
  const more = cards.length > fits && h("button", {
    type: "button", class: "plain more", "aria-expanded": String(all), onclick: (event) => {
      const now = !open.has(shelf.name);
      if (now) open.add(shelf.name); else open.delete(shelf.name);
      list.classList.toggle("all", now);
      event.currentTarget.setAttribute("aria-expanded", String(now));
      event.currentTarget.textContent = now ? "show fewer" : `show all ${cards.length}`;
    },
  }, all ? "show fewer" : `show all ${cards.length}`);
  return h("section", { class: "shelf", "aria-labelledby": id },
    h("div", { class: "shelf-head" }, h("div", {}, h("h2", { id }, shelf.name), shelf.subtitle && h("p", {}, shelf.subtitle)), more),
    list);
}

function card(item, old, { titles, act, detail }) {
  const name = titleOf(item);
  const why = h("p", { class: "why", title: item.reason?.text }, reasonOf(item, titles));
  if (old) {
    old.classList.remove("acted");
    for (const button of old.querySelectorAll("[data-action]")) button.setAttribute("aria-pressed", "false");
    old.querySelector(".why").replaceWith(why);
    old.item = item;
    return old;
  }
  const { colours, inside } = cover(item);
  const made = h("li", { class: "card", "data-video": item.id },
    h("button", {
      type: "button", class: "cover", ...colours, title: `${name} · why it is here (Enter)`, "aria-haspopup": "dialog",
      "aria-label": [name, item.year, labelsOf(item).slice(0, 3).join(", ")].filter(Boolean).join(", "),
      onclick: () => detail(made.item),
    }, inside),
    why,
    h("div", { class: "acts", role: "group", "aria-label": `What about ${name}?` }, Object.entries(ACTIONS).map(([action, { label, help }]) =>
      h("button", { type: "button", class: action, "data-action": action, "aria-pressed": "false", title: help, "aria-label": label ? `${label}: ${name}` : `Not interested in ${name}`, onclick: () => act(action, made.item, made) }, icon(action), label))));
  made.item = item;
  return made;
}

// First, last, invert, play: a card that stays starts where it was; one that left fades there; a new one comes up.
function glide(region, before, used) {
  const timing = { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" };
  for (const card of region.querySelectorAll(".card")) {
    if (!card.offsetParent) continue;
    const from = before.get(card.dataset.video)?.box;
    const to = card.getBoundingClientRect();
    if (!from) {
      if (before.size) card.animate([{ opacity: 0, transform: "translateY(14px)" }, { opacity: 1, transform: "none" }], { ...timing, delay: 90, fill: "backwards" });
    } else if (Math.abs(from.left - to.left) + Math.abs(from.top - to.top) > 1) {
      card.animate([{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }], timing);
    }
  }
  for (const [video, { card, box }] of before) {
    if (used.has(video) || !box || box.bottom < 0 || box.top > innerHeight) continue;
    const ghost = card.cloneNode(true);
    ghost.classList.add("gone");
    ghost.removeAttribute("data-video");
    ghost.setAttribute("aria-hidden", "true");
    ghost.inert = true;
    Object.assign(ghost.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px` });
    document.body.append(ghost);
    ghost.animate([{ opacity: 1, transform: "none" }, { opacity: 0, transform: "scale(.86)" }], { duration: 240, easing: "ease-out", fill: "forwards" }).finished.finally(() => ghost.remove());
  }
}

// Where the focus is: shelf, place in it, video, and which of the card's buttons.
function focused() {
  const card = document.activeElement?.closest?.("#shelves .card");
  if (!card) return null;
  const shelf = card.closest(".shelf");
  return {
    video: card.dataset.video, acted: card.classList.contains("acted"),
    shelf: [...at("shelves").querySelectorAll(".shelf")].indexOf(shelf), place: visible(shelf).indexOf(card),
    action: document.activeElement.dataset.action ?? "",
  };
}

// The focus stays with its video, or, if that has left, with whatever stands in its place.
function refocus(was) {
  if (!was) return;
  const shelves = [...at("shelves").querySelectorAll(".shelf")];
  const same = [...at("shelves").querySelectorAll(".card")].find((card) => card.dataset.video === was.video && card.offsetParent);
  const cards = visible(shelves[Math.min(was.shelf, shelves.length - 1)]);
  focusCard(same && !was.acted ? same : cards[Math.min(was.place, cards.length - 1)], was.action, true);
}

const visible = (shelf) => (shelf ? [...shelf.querySelectorAll(".card")].filter((card) => card.offsetParent) : []);

function focusCard(card, action, quiet = false) {
  if (!card) return;
  const target = (action && card.querySelector(`[data-action="${action}"]`)) || card.querySelector(".cover");
  target.focus({ preventScroll: quiet });
  if (!quiet) card.scrollIntoView({ block: "nearest", inline: "nearest", behavior: still.matches ? "auto" : "smooth" });
}

/** Puts the focus on the first card. */
export const focusFirst = () => focusCard(at("shelves").querySelector(".card"), "");

/** Listens to the keys of the feed. */
export function keys(undo) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, select, textarea")) return;
    const key = event.key.toLowerCase();
    if (key === "u") {
      if (undo()) event.preventDefault();
      return;
    }
    const card = event.target.closest?.("#shelves .card") ?? at("shelves").querySelector(".card:hover");
    if (!card) return;
    const action = Object.keys(ACTIONS).find((name) => ACTIONS[name].key === key);
    if (action) {
      event.preventDefault();
      card.querySelector(`[data-action="${action}"]`).click();
    } else if (event.target.closest("#shelves .card") && ["arrowleft", "arrowright", "arrowup", "arrowdown", "home", "end"].includes(key)) {
      const next = neighbour(card, key);
      if (next) {
        event.preventDefault();
        focusCard(next, document.activeElement.dataset.action ?? "");
      }
    }
  });
}

function neighbour(card, key) {
  const shelf = card.closest(".shelf");
  const row = visible(shelf);
  const place = row.indexOf(card);
  if (key === "home") return row[0];
  if (key === "end") return row.at(-1);
  if (key === "arrowleft" || key === "arrowright") {
    const next = row[place + (key === "arrowleft" ? -1 : 1)];
    if (next) return next;
  }
  const all = visible(at("shelves"));
  if (key === "arrowleft" || key === "arrowright") return all[all.indexOf(card) + (key === "arrowleft" ? -1 : 1)];
  // Up and down: the nearest card in the next line of cards, wherever that line stands.
  const here = card.getBoundingClientRect();
  const sign = key === "arrowup" ? -1 : 1;
  const beyond = all.map((other) => ({ other, box: other.getBoundingClientRect() })).filter(({ box }) => sign * (box.top - here.top) > 4);
  if (!beyond.length) return null;
  const line = Math.min(...beyond.map(({ box }) => sign * (box.top - here.top)));
  return beyond.filter(({ box }) => sign * (box.top - here.top) < line + 4).sort((a, b) => Math.abs(a.box.left - here.left) - Math.abs(b.box.left - here.left))[0].other;
}

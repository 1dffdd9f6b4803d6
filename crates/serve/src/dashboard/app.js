// The page: who looks, what they said, which view is open. Everything shown comes from the server's /api/v2.

import { at, h, inWords, plural, sentence } from "./dom.js";
import { door, get, path, post, remove } from "./api.js";
import { labelsOf, titleOf } from "./cover.js";
import { ACTIONS, howMuch, icon, saidOf, when } from "./events.js";
import { focusFirst, keys, show } from "./feed.js";
import { farewell, welcome } from "./welcome.js";
import { SHELF, detail, made, trace, unmade } from "./trace.js";
import { results } from "./results.js";
import { journey } from "./journey.js";
import { taste } from "./map.js";
import { live } from "./live.js";

const VIEWERS = 60;
// Of these many newest events the first few are listed, and all say what the viewer leans to.
const RECENT = 50;
const LISTED = 8;

const state = {
  viewer: null, own: null, models: null, answer: null, picks: [], undo: null,
  // Titles by id, as they come by, so that reasons and traces can name videos.
  titles: new Map(),
  // Only the newest question's answer is shown.
  asked: 0,
};

// Who looks.

const memory = {
  get: (name) => { try { return localStorage.getItem(`upnext.${name}`); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(`upnext.${name}`, value); } catch { /* A browser that keeps nothing still shows the feed. */ } },
};

const freshId = () => `you-${[...crypto.getRandomValues(new Uint8Array(5))].map((byte) => (byte % 36).toString(36)).join("")}`;
const isOwn = () => state.viewer === state.own;
// What the taste map and the journey ask, and whom.
const source = {
  map: () => get("/api/v2/map"),
  video: (id) => get(path("api", "v2", "map", id)),
  path: () => get(path("api", "v2", "map", "viewer", state.viewer)),
  journey: () => get(path("api", "v2", "journey", state.viewer)),
  find: async (query) => (await get("/api/v2/videos", { query, n: 8 })).videos,
};
const map = taste(at("atlas"), source, { beside: at("taste"), who: () => (isOwn() ? "you" : `viewer ${state.viewer}`) });
const asker = () => ({ titles: state.titles, viewer: state.viewer, who: isOwn() ? "you" : `viewer ${state.viewer}` });

async function viewers() {
  const select = at("viewer");
  let list = [];
  try {
    ({ viewers: list } = await get("/api/v2/viewers", { n: VIEWERS }));
  } catch (error) {
    say(inWords("The list of viewers did not come", error));
  }
  const others = list.filter(({ id }) => id !== state.own);
  if (!isOwn() && !others.some(({ id }) => id === state.viewer)) others.unshift({ id: state.viewer });
  select.replaceChildren(
    h("optgroup", { label: "New here" }, h("option", { value: state.own }, "you")),
    group("Seen here lately", others.filter(({ recent: lately }) => lately)),
    group("In the data", others.filter(({ recent: lately }) => !lately)));
  select.value = state.viewer;
}

const group = (label, list) => (list.length ? h("optgroup", { label }, list.map((viewer) => h("option", { value: viewer.id }, described(viewer)))) : "");
const described = ({ id, events, genres }) => [id, Number.isFinite(events) && plural(events, "event"), genres?.length && genres.slice(0, 2).join(", ")].filter(Boolean).join(" · ");

async function become(viewer) {
  state.viewer = viewer;
  memory.set("viewer", viewer);
  state.picks = [];
  state.undo = null;
  hush();
  farewell();
  told.to(viewer);
  const feed = refresh();
  const history = await recent();
  if (viewer === state.viewer && isOwn() && history && !history.length && memory.get("skipped") !== viewer) {
    welcome({
      changed: (picks) => { state.picks = picks.map(({ id }) => id); remember(picks); refresh(); },
      done: begin,
      skip: () => { memory.set("skipped", viewer); state.picks = []; farewell(); refresh(); focusFirst(); },
    });
  }
  await feed;
}

async function begin(picks) {
  remember(picks);
  const viewer = state.viewer;
  told.own(picks.length);
  try {
    await post("/api/v2/events", picks.map(({ id }) => ({ user: viewer, video: id, action: "like" })));
  } catch (error) {
    told.own(-picks.length);
    return say(inWords("Your picks were not kept", error));
  }
  state.picks = [];
  farewell();
  await Promise.all([refresh(), recent()]);
  scrollTo({ top: 0 });
  focusFirst();
  say(`Your feed now starts from ${picks.map(titleOf).join(", ")}.`);
}

// The feed.

function remember(videos) {
  for (const video of videos) if (video.title) state.titles.set(video.id, video.title);
}

async function refresh() {
  const turn = (state.asked += 1);
  const before = ids(state.answer);
  let answer;
  try {
    answer = await get(path("api", "v2", "feed", state.viewer), { n: SHELF, pick: state.picks });
  } catch (error) {
    if (turn !== state.asked) return null;
    state.answer = null;
    unmade();
    trace(null, {});
    at("hint").hidden = true;
    at("shelves").replaceChildren(h("div", { class: "sheet" }, h("h2", {}, error.status === 503 ? "Not ready yet" : "There is no feed to show"), h("p", {}, `${sentence(error.message)} ${sentence(error.hint)}`),
      h("p", { class: "row small" }, h("button", { type: "button", class: "primary", onclick: load }, "Try again"))));
    // While models are being fitted the server says so; the page asks again by itself.
    if (error.status === 503) setTimeout(() => turn === state.asked && refresh(), 1500);
    return null;
  }
  if (turn !== state.asked) return null;
  answer.shelves ??= [];
  state.answer = answer;
  remember(answer.shelves.flatMap(({ items }) => items));
  const empty = !answer.shelves.some(({ items }) => items.length);
  if (empty) at("shelves").replaceChildren(h("div", { class: "sheet" }, h("h2", {}, "Nothing left to show"), h("p", {}, "Everything that could be recommended has been watched, hidden or declined. Undo something in the history, or take a new viewer.")));
  else show(answer.shelves, { titles: state.titles, act, detail: (item) => detail(item, state) });
  at("hint").hidden = empty;
  made(answer);
  if (view() === "pipeline") trace(answer, asker());
  return difference(before, ids(answer));
}

const ids = (answer) => (answer ? answer.shelves.flatMap(({ items }) => items.map(({ id }) => id)) : []);

function difference(before, after) {
  const were = new Set(before);
  const stay = after.filter((id) => were.has(id));
  const old = before.filter((id) => stay.includes(id));
  return { came: after.length - stay.length, moved: stay.filter((id, i) => old[i] !== id).length };
}

async function act(action, item, card) {
  const viewer = state.viewer;
  card.classList.add("acted");
  card.querySelector(`[data-action="${action}"]`).setAttribute("aria-pressed", "true");
  told.own(1);
  try {
    await post("/api/v2/events", [{ user: viewer, video: item.id, action }]);
  } catch (error) {
    told.own(-1);
    card.classList.remove("acted");
    card.querySelector(`[data-action="${action}"]`).setAttribute("aria-pressed", "false");
    return say(inWords("That was not kept", error));
  }
  const [change] = await Promise.all([refresh(), recent()]);
  const then = change ? `: ${plural(change.came, "title")} came in, ${change.moved} moved.` : ".";
  say(`${ACTIONS[action].said} ${titleOf(item)}${then}`, () => takeBack(viewer, action, item));
}

async function takeBack(user, action, item) {
  hush();
  told.own(1);
  try {
    await remove(path("api", "feedback", action, user, item.id));
  } catch (error) {
    told.own(-1);
    return say(inWords("That could not be undone", error));
  }
  await Promise.all([refresh(), recent()]);
  say(`Undone: ${titleOf(item)} counts as before.`);
}

// What changes without a click here: the viewer acts on another device, another feed is served.

const told = live({
  changed: async (n, kind) => {
    const [change] = await Promise.all([refresh(), recent()]);
    const what = { events: `${plural(n, "event")} came in from elsewhere`, taken_back: `${plural(n, "event")} taken back elsewhere`, missed: "Something changed elsewhere" }[kind];
    if (change) say(`${what}: ${plural(change.came, "title")} came in, ${change.moved} moved.`);
  },
  served: about,
});

// History.

// What follows each event: the history, the viewer's point on the map, and the journey where it is open.
async function recent() {
  map.follow();
  if (view() === "journey") journey(at("steps"), source, asker());
  const panel = at("history");
  const whose = isOwn() ? "Your history" : "Their history";
  const viewer = state.viewer;
  let answer;
  try {
    answer = await get(path("api", "v2", "history", viewer), { n: RECENT });
  } catch (error) {
    panel.replaceChildren(h("h2", {}, whose), h("p", { class: "state" }, inWords("It did not come", error)));
    return null;
  }
  if (viewer !== state.viewer) return null;
  const { events = [], total } = answer;
  remember(events.map((event) => ({ id: event.video, title: event.title })));
  panel.replaceChildren(
    h("h2", {}, whose, Number.isFinite(total) && total > 0 ? h("small", {}, ` · ${plural(total, "event")}`) : ""),
    leaning(events),
    events.length ? h("ul", { class: "events" }, events.slice(0, LISTED).map(eventLine)) : h("p", { class: "state" }, "Nothing yet: say what you like, and it stands here."));
  return events;
}

// What the newest events have most in common, in words and numbers.
function leaning(events) {
  const wanted = events.filter(({ action }) => action !== "hate");
  const times = new Map();
  for (const event of wanted) for (const label of new Set(labelsOf(event))) times.set(label, (times.get(label) ?? 0) + 1);
  const most = [...times].sort((a, b) => b[1] - a[1]).slice(0, 3).filter(([, n]) => n > 1);
  if (!most.length) return "";
  return h("p", { class: "leaning" }, `of the last ${wanted.length}: `, most.map(([label, n], i) => [i ? ", " : "", h("em", {}, label), ` ${n}`]));
}

function eventLine(event) {
  const { video, action, time, origin } = event;
  const named = titleOf({ id: video, title: event.title });
  const said = saidOf(event);
  const viewer = state.viewer;
  return h("li", { class: action, title: `${said} ${named}` },
    icon(action), h("span", { class: "unseen" }, said),
    h("span", { class: "what" }, named),
    h("span", { class: "how" }, howMuch(event)),
    time > 0 && h("time", { datetime: new Date(time).toISOString() }, when(time)),
    // What the run was trained on stays; what was said here can be taken back.
    origin === "store" && ACTIONS[action] && h("button", { type: "button", "aria-label": `Take back: ${said} ${named}`, title: "Take it back", onclick: () => takeBack(viewer, action, { id: video, title: event.title }) }, "undo"));
}

// What is said to everybody: on the screen, and to who listens instead of looking.

let fading = 0;
function say(text, undo = null) {
  at("said").textContent = text;
  at("live").textContent = text;
  state.undo = undo;
  at("undo").hidden = !undo;
  at("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(hush, 9000);
}
function hush() {
  if (at("toast").contains(document.activeElement)) focusFirst();
  at("toast").hidden = true;
  state.undo = null;
}
function undo() {
  state.undo?.();
  return true;
}

// What is served, and how good it is.

/** What is served; true as soon as there is a feed to ask for. */
async function about() {
  try {
    const { name, users, videos, events, digest, licence, notice, version, ready, models } = await get("/api/v2/about");
    newer(models ?? []);
    const link = /^https?:\/\/\S+$/.test(licence ?? "") ? h("a", { href: licence, rel: "noreferrer" }, licence) : licence;
    at("about").replaceChildren(h("div", {},
      notice && h("p", {}, h("strong", {}, notice)),
      h("p", {}, `${name}: ${plural(users, "viewer")}, ${plural(videos, "title")}, ${plural(events, "event")}`, digest && [" · digest ", h("code", { title: digest }, digest.slice(0, 12))]),
      h("p", {}, licence && ["Licence of the data: ", link, " · "], `UpNext ${version ?? ""} · `, h("a", { href: "/apidocs" }, "API"))));
    return ready !== false;
  } catch (error) {
    at("about").replaceChildren(h("p", { class: "state" }, inWords("What is served is not known", error)));
    // Those who are asked next say what is wrong.
    return true;
  }
}

// A feed made while models were still being fitted can be made again with all of them; it never changes by itself.
function newer(models) {
  const known = models.join(", ");
  const changed = state.models && known && state.models !== known;
  state.models = known;
  if (changed && state.answer) {
    at("again").replaceChildren("Since then more models are ready: ", h("button", { type: "button", class: "plain", title: known, onclick: refresh }, "make it again"));
  }
  return changed;
}

/** Looks for them after the results are in, for a while, where the server does not tell: that is when `upnext demo` fits the last ones. */
async function watchModels(times = 60) {
  await new Promise((done) => setTimeout(done, 1500));
  if (told.listens) return;
  try {
    if (!newer((await get("/api/v2/about")).models ?? []) && times > 1) watchModels(times - 1);
  } catch { /* The next question says what is wrong. */ }
}

/** The page may be up before the models are fitted; then it says so and waits. */
async function untilReady() {
  while (!(await about())) {
    at("shelves").replaceChildren(h("div", { class: "sheet" }, h("h2", {}, "Nearly there"), h("p", { class: "soft" }, "The models are being fitted on the data that is named below. The feed comes by itself.")));
    await new Promise((done) => setTimeout(done, 400));
  }
}

let waiting = 0;
async function report(waited = false) {
  clearTimeout(waiting);
  try {
    const answer = await get("/api/v2/report");
    results(answer);
    if (answer.status === "running") waiting = setTimeout(() => report(true), 1200);
    else if (waited) watchModels();
  } catch (error) {
    results(null, error);
    if (error.status === 0 || error.status === 503) waiting = setTimeout(() => report(waited), 4000);
  }
}

// Views.

const VIEWS = ["feed", "map", "journey", "results", "pipeline"];
const view = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "feed");

function turn() {
  // A link to a place inside the feed, such as the skip link's, is no view.
  if (location.hash === "#shelves") return focusFirst();
  const now = view();
  hush();
  for (const page of VIEWS) at(page).hidden = page !== now;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === now) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = { feed: "UpNext", map: "Taste map · UpNext", journey: "Journey · UpNext", results: "Results · UpNext", pipeline: "Pipeline · UpNext" }[now];
  if (now === "pipeline") trace(state.answer, asker());
  if (now === "journey" && state.viewer) journey(at("steps"), source, asker());
  map.shown();
  scrollTo({ top: 0 });
}

async function start() {
  state.own = memory.get("own") ?? freshId();
  memory.set("own", state.own);
  state.viewer = new URLSearchParams(location.search).get("viewer") ?? memory.get("viewer") ?? state.own;
  door.askForKey = () => new Promise((settle) => {
    const dialog = at("key");
    dialog.addEventListener("close", () => settle(dialog.returnValue === "ok" ? at("key-value").value.trim() : null), { once: true });
    dialog.showModal();
  });
  addEventListener("hashchange", turn);
  at("viewer").addEventListener("change", (event) => become(event.target.value));
  at("new-viewer").addEventListener("click", () => {
    state.own = freshId();
    memory.set("own", state.own);
    location.hash = "#feed";
    become(state.own).then(viewers);
  });
  at("undo").addEventListener("click", undo);
  at("detail").addEventListener("click", (event) => event.target === at("detail") && at("detail").close());
  keys(undo);
  turn();
  await load();
}

/** Asks for everything the page shows. */
async function load() {
  report();
  await untilReady();
  await Promise.all([viewers(), become(state.viewer)]);
}

start();

// How a feed was made: the short form beside it, the whole trace, one video in detail, and "why not this one?".

import { at, count, h, inWords, plural, share, time } from "./dom.js";
import { get, path } from "./api.js";
import { cover, labelsOf, titleOf } from "./cover.js";
import { reasonOf } from "./feed.js";

/** Titles a shelf is asked for. */
export const SHELF = 12;

const WORDS = { sources: "sources", filters: "filters", scorers: "ranked", rerank: "varied" };
const TASKS = {
  sources: "collect candidates", filters: "take out what must not be shown", scorers: "give each a score", rerank: "order, and keep it varied",
};

/** Parts of a score as pairs, whether they came as an object or as a list. */
const pairs = (parts) => (Array.isArray(parts) ? parts : Object.entries(parts ?? {}));
const bar = (part, whole) => h("span", { class: "bar", "aria-hidden": "true" }, h("i", { class: part > 0 ? null : "none", "--share": `${whole > 0 ? Math.min(100, (100 * Math.max(0, part)) / whole).toFixed(1) : 0}%` }));
const minus = (n) => (n ? `−${count(n)}` : "0");

/** The panel beside the feed. */
export function made(answer) {
  const { stages = [] } = answer.trace ?? {};
  const most = Math.max(1, ...stages.flatMap((stage) => [stage.in, stage.out]));
  const rows = stages.flatMap((stage) => {
    const removed = stage.name === "filters";
    const head = h("li", { class: "step" },
      h("span", { class: "name" }, stage.name === "sources" ? spoke(stage.parts) : WORDS[stage.name] ?? stage.name, h("small", {}, time(stage.microseconds))),
      bar(stage.out, most), h("span", { title: `${count(stage.in)} in, ${count(stage.out)} out` }, count(stage.out)));
    if (stage.name !== "sources" && !removed) return [head];
    const parts = stage.parts.filter((part) => part.count).map((part) => h("li", { class: "step part", title: part.note ?? null },
      h("span", { class: "name" }, part.name), bar(part.count, most), h("span", {}, removed ? minus(part.count) : count(part.count))));
    return [head, ...parts];
  });
  at("made").replaceChildren(
    h("h2", {}, "How this feed was made ", h("small", {}, `· ${time(answer.took_microseconds)}`)),
    h("ol", {}, rows),
    ...failures(answer.failures),
    h("p", { class: "small" }, "request ", h("code", { title: answer.request_id }, short(answer.request_id)), " · every stage, every score: ", h("a", { href: "#pipeline" }, "open the trace")),
    h("p", { class: "small", id: "again", "aria-live": "polite" }));
}

// How many sources had something to say.
const spoke = (parts) => {
  const some = parts.filter((part) => part.count).length;
  return some === parts.length ? plural(some, "source") : `${some} of ${plural(parts.length, "source")}`;
};

/** The panel where there is no answer to show. */
export const unmade = () => at("made").replaceChildren(h("h2", {}, "How this feed was made"), h("p", { class: "state" }, "The last request was not answered, so there is nothing to show."));

const short = (id) => (id && id.length > 12 ? `${id.slice(0, 6)}…${id.slice(-4)}` : id ?? "–");
const failures = (list = []) => list.map(({ stage, part, message }) => h("p", { class: "failed", role: "note" }, `${part} (${WORDS[stage] ?? stage}) failed: ${message}. The feed went out without it.`));

/** The whole trace of the last answer, and a question about any other title. */
export function trace(answer, { titles, viewer, who }) {
  const page = at("trace");
  if (!answer) {
    page.replaceChildren(h("p", { class: "state" }, "No request yet: open the feed first."));
    return;
  }
  const { stages = [], moves = [] } = answer.trace ?? {};
  const named = (id) => titles.get(id) ?? id;
  page.replaceChildren(
    h("p", { class: "lead" }, `For ${who}, in ${time(answer.took_microseconds)}. Request `, h("code", {}, answer.request_id), ", ", h("a", { href: path("api", "v2", "trace", answer.request_id) }, "as JSON"), ". The stages are those of the first shelf."),
    ...failures(answer.failures),
    h("ol", { class: "stages" }, stages.map((stage, i) => stageSheet(stage, i, named))),
    ask(viewer),
    slate(answer.shelves, titles),
    moved(moves, named));
}

function stageSheet(stage, i, named) {
  const most = Math.max(1, ...stage.parts.map((part) => part.count));
  return h("li", { class: "sheet" },
    h("h2", {}, h("span", {}, `${i + 1}. ${stage.name}`), h("small", {}, time(stage.microseconds))),
    h("p", { class: "soft" }, TASKS[stage.name] ?? ""),
    h("p", { class: "flow" }, stage.name === "sources" ? h("span", {}, "found ") : [count(stage.in), h("span", {}, " → ")], count(stage.out)),
    h("ul", {}, stage.parts.map((part) => [
      h("li", { class: "step part" },
        h("span", { class: "name" }, part.name), part.note && !part.count ? h("span", { class: "said" }, part.note) : bar(part.count, most),
        h("span", {}, stage.name === "filters" ? minus(part.count) : count(part.count), h("small", {}, time(part.microseconds)))),
      part.withheld > 0 && h("li", { class: "note" }, `${count(part.withheld)} of these never left the sources`),
      part.examples?.length > 0 && h("li", { class: "note" }, `such as ${part.examples.slice(0, 3).map(named).join(", ")}`),
      part.note && part.count > 0 && h("li", { class: "note" }, part.note),
    ])));
}

function slate(shelves, titles) {
  const items = shelves.flatMap((shelf) => shelf.items);
  const names = [...new Set(items.flatMap((item) => pairs(item.parts).map(([name]) => name)))];
  let place = 0;
  return h("section", { class: "sheet" },
    h("h2", {}, "What was shown, and each score by part"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores by part" }, h("table", { class: "slate" },
      h("thead", {}, h("tr", {}, ["", "title", "from", ...names, "score"].map((name) => h("th", { scope: "col" }, name)))),
      shelves.filter((shelf) => shelf.items.length).map((shelf) => h("tbody", {},
        h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: names.length + 4 }, shelf.name)),
        shelf.items.map((item) => {
          const parts = new Map(pairs(item.parts));
          return h("tr", {},
            h("td", { class: "soft" }, String((place += 1))),
            h("td", {}, titleOf(item), h("br"), h("small", { class: "soft" }, reasonOf(item, titles))),
            h("td", { class: "from" }, (item.sources ?? []).join(", ")),
            names.map((name) => h("td", {}, parts.has(name) ? share(parts.get(name)) : h("span", { class: "soft" }, "·"))),
            h("td", {}, h("b", {}, share(item.score))));
        }))))));
}

function moved(moves, named) {
  if (!moves.length) return "";
  return h("section", { class: "sheet" },
    h("h2", {}, "What variety moved"),
    h("p", { class: "soft" }, "By score alone these would stand elsewhere."),
    h("ul", {}, moves.slice(0, 24).map(({ video, from, to }) => h("li", {}, `${named(video)}: place ${from} → ${to}`))));
}

function ask(viewer) {
  const found = h("div", { class: "found" });
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const input = h("input", { type: "search", placeholder: "a title", "aria-label": "A title to ask about", autocomplete: "off" });
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const query = input.value.trim();
      if (!query) return found.replaceChildren();
      try {
        const { videos } = await get("/api/v2/videos", { query, n: 8 });
        if (input.value.trim() !== query) return;
        found.replaceChildren(...videos.map((video) => h("button", { type: "button", onclick: () => explain(viewer, video, answer) }, [titleOf(video), video.year].filter(Boolean).join(" · "))));
        if (!videos.length) found.replaceChildren(h("p", { class: "state" }, `No title has “${query}” in it.`));
      } catch (error) {
        found.replaceChildren(h("p", { class: "state" }, inWords("No answer", error)));
      }
    }, 140);
  });
  return h("section", { class: "sheet" },
    h("h2", {}, "Why, or why not?"),
    h("p", { class: "soft" }, "Any title: why it would be shown to this viewer, or which stage lost it."),
    h("div", { class: "ask" }, input), found, answer);
}

async function explain(user, video, into) {
  into.replaceChildren(h("p", { class: "state" }, "Asking…"));
  try {
    const answer = await get("/api/v2/explain", { user, video: video.id, n: SHELF });
    into.replaceChildren(...explanation(video, answer));
  } catch (error) {
    into.replaceChildren(h("p", { class: "failed" }, inWords("No answer", error)));
  }
}

// The title stands in the text where it is known; where it does not, it goes before.
function emphasised(text, title) {
  const start = text.indexOf(title);
  return start < 0 ? [h("b", {}, title), ": ", text] : [text.slice(0, start), h("b", {}, title), text.slice(start + title.length)];
}

function explanation(video, answer) {
  const parts = pairs(answer.parts);
  const refused = (answer.filters ?? []).filter((filter) => filter.keeps === false).map(({ name }) => name);
  const sources = (answer.sources ?? []).map(({ name, rank, limit, retrieved }) => `${name}: ${rank ? `place ${count(rank)}` : "nothing to say"}${rank && !retrieved ? `, beyond its ${count(limit)}` : ""}`);
  const raising = new Map();
  for (const { model, title } of answer.because ?? []) raising.set(title, [...(raising.get(title) ?? []), model]);
  const because = [...raising].map(([title, models]) => `${title} (${models.join(", ")})`);
  const facts = [
    answer.reason && ["reason", answer.reason.text], because.length && ["raised by", because.join(", ")],
    sources.length && ["sources", sources.join(" · ")], refused.length && ["removed by", refused.join(", ")],
  ].filter(Boolean);
  return [
    h("p", {}, emphasised(answer.text, titleOf(video))),
    facts.length > 0 && h("dl", { class: "facts-list" }, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
    parts.length > 0 && scores(parts, answer.score),
    h("details", {}, h("summary", { class: "soft" }, "the whole answer"), h("pre", {}, JSON.stringify(answer, null, 2))),
  ].filter(Boolean);
}

function scores(parts, total) {
  const most = Math.max(1e-9, ...parts.map(([, value]) => Math.abs(value)));
  return h("ul", {},
    parts.map(([name, value]) => h("li", { class: "step part" }, h("span", { class: "name" }, name), bar(Math.abs(value), most), h("span", {}, share(value)))),
    Number.isFinite(total) && h("li", { class: "step" }, h("span", { class: "name" }, "score"), h("span"), h("b", {}, share(total))));
}

/** One video of the feed: why it is here and what its score is made of. */
export function detail(item, { titles }) {
  const dialog = at("detail");
  const { colours, inside } = cover(item);
  const parts = pairs(item.parts);
  dialog.replaceChildren(
    h("button", { type: "button", class: "plain close", onclick: () => dialog.close() }, "Close"),
    h("div", { class: "detail" },
      h("div", {}, h("div", { class: "cover", ...colours, "aria-hidden": "true" }, inside)),
      h("div", {},
        h("h2", { id: "detail-title" }, titleOf(item)),
        h("p", { class: "soft" }, [item.year, ...labelsOf(item)].filter(Boolean).join(" · ")),
        h("h3", {}, "Why it is here"), h("p", {}, reasonOf(item, titles)),
        item.sources?.length > 0 && [h("h3", {}, "Who proposed it"), h("p", {}, sourcesOf(item))],
        parts.length > 0 && [h("h3", {}, "Its score, part by part"), scores(parts, item.score)],
        h("p", { class: "small" }, "video ", h("code", {}, item.id)))));
  dialog.showModal();
}

function sourcesOf(item) {
  const ranks = new Map(pairs(item.ranks));
  return item.sources.map((name) => (ranks.has(name) ? `${name} (place ${count(ranks.get(name))})` : name)).join(", ");
}

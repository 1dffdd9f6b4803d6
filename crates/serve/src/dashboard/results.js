// How good, and how sure: the floors first, the best in bold, an interval on every number, the protocol below.

import { at, count, h, inWords, s, share } from "./dom.js";

// Of these more is better, so one of them is best; of the others (novelty, popularity bias and so on) none is.
// They stand in this order, after the headline and its list length's hit ratio.
const ACCURACY = ["ndcg", "hr", "recall", "mrr", "map", "map_min_k", "precision", "r_precision", "f1", "jaccard", "overlap", "ndcg_graded", "auc"];
const CAPITALS = /\b(ndcg|hr|mrr|map|auc|f1|ild|arp|mae|rmse|kl)\b/g;

let chosen = null;

const family = (metric) => metric.split("@")[0];
const isAccuracy = (metric) => ACCURACY.includes(family(metric));
const label = (name) => name.replaceAll("_", " ").replace(CAPITALS, (word) => word.toUpperCase()).replace(/^[a-z]/, (letter) => letter.toUpperCase());

function best(models, metric) {
  if (!isAccuracy(metric)) return null;
  const known = models.filter((model) => Number.isFinite(model.metrics[metric]?.mean));
  return known.length > 1 ? known.reduce((a, b) => (b.metrics[metric].mean > a.metrics[metric].mean ? b : a)).name : null;
}

// The headline, the same list length's hit ratio, then what else is accuracy, then the rest.
function metricsOf({ headline, models }) {
  const all = [...new Set(models.flatMap((model) => Object.keys(model.metrics)))];
  const partner = headline?.replace(/^[a-z_]+/, "hr");
  const rank = (name) => (name === headline ? -2 : name === partner ? -1 : isAccuracy(name) ? ACCURACY.indexOf(family(name)) : ACCURACY.length);
  return all.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b, "en", { numeric: true }));
}

/** Shows the report, both beside the feed and on its own page; in words what is missing while it is being computed. */
export function results(report, trouble = null) {
  const title = () => h("h2", {}, "How good, and how sure");
  if (trouble || !report?.models?.length) {
    const words = trouble ? inWords("The results did not come", trouble) : report?.status === "running" ? "Being computed… the table appears here when it is done." : report?.message ?? "No model was measured on this set.";
    at("sure").replaceChildren(title(), h("p", { class: "state" }, words));
    at("report").replaceChildren(h("p", { class: "state" }, words));
    return;
  }
  const { models } = report;
  const metrics = metricsOf(report);
  if (!metrics.includes(chosen)) chosen = metrics[0];
  at("sure").replaceChildren(title(), digest(models, metrics.slice(0, 2)),
    h("p", { class: "small" }, protocolLine(report.protocol), " · ", h("a", { href: "#results" }, "every metric")));
  page(report, metrics);
}

function protocolLine({ set, digest, split, relevance, users, candidates, masked, ties, seed }) {
  return [
    `${set} (${digest.slice(0, 8)})`, split, `relevant: ${relevance}`, `${count(users)} viewers`,
    `${count(candidates.n)} titles ranked (${candidates.what})`, `masked: ${masked}`, `ties ${ties}`, `seed ${seed}`,
  ].join(" · ");
}

const row = (model, winner, cells) => h("tr", { class: [model.floor && "floor", model.name === winner && "best"].filter(Boolean).join(" ") }, h("th", { scope: "row" }, model.name), cells);
const heads = (names) => h("thead", {}, h("tr", {}, names.map(([name, kind]) => h("th", { scope: "col", class: kind }, name))));
const percent = (level) => `${Number((100 * level).toFixed(4))} %`;

function digest(models, metrics) {
  const winner = best(models, metrics[0]);
  const interval = ({ low, high }) => h("span", { class: "ci", title: `interval ${share(low)} to ${share(high)}` }, ` ±${((high - low) / 2).toFixed(3).replace(/^0/, "")}`);
  return h("table", {},
    heads([["model"], ...metrics.map((metric) => [label(metric)])]),
    h("tbody", {}, models.map((model) => row(model, winner, metrics.map((metric, i) => {
      const value = model.metrics[metric];
      return h("td", {}, value ? share(value.mean) : "–", value && i === 0 ? interval(value) : "");
    })))));
}

function page(report, metrics) {
  const { models, protocol } = report;
  const values = models.map((model) => model.metrics[chosen]).filter(Boolean);
  const top = Math.max(...values.map(({ high }) => high), 1e-9);
  const bottom = Math.min(...values.map(({ low }) => low), 0);
  at("report").replaceChildren(
    h("p", { class: "lead" }, `Each line is a model, measured on what viewers did next. A bar is the ${percent(protocol.bootstrap.level)} interval over viewers. The floors stand first; a model that does not beat them is not worth its keep. The differences are paired, viewer by viewer, and so tell models apart more finely than two bars do.`),
    h("div", { class: "choices", role: "group", "aria-label": "Metric" }, metrics.map((metric) => h("button", {
      type: "button", "aria-pressed": String(metric === chosen), onclick: () => {
        chosen = metric;
        page(report, metrics);
        at("report").querySelector('.choices [aria-pressed="true"]').focus();
      },
    }, label(metric)))),
    forest(models, bottom, top),
    all(models, metrics),
    h("section", { class: "sheet" }, h("h2", {}, "The protocol"), protocolList(protocol)),
    remarks(report));
}

function forest(models, bottom, top) {
  const winner = best(models, chosen);
  const seconds = (x) => (Number.isFinite(x) ? `${x.toFixed(x < 10 ? 2 : 1)} s` : "–");
  return h("section", { class: "sheet" }, h("h2", {}, label(chosen)),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Results by ${label(chosen)}` }, h("table", { class: "forest" },
      heads([["model"], [label(chosen)], ["from", "edge"], ["to", "edge"], [`${share(bottom)} to ${share(top)}`], ["against the best floor", "edge words"], ["fit", "edge"], ["score", "edge"]]),
      h("tbody", {}, models.map((model) => {
        const value = model.metrics[chosen];
        return row(model, winner, [
          h("td", {}, share(value?.mean)), h("td", { class: "soft edge" }, share(value?.low)), h("td", { class: "soft edge" }, share(value?.high)),
          h("td", { class: "plot" }, value ? plot(value, bottom, top) : ""), h("td", { class: "soft edge words" }, versus(model)),
          h("td", { class: "soft edge" }, seconds(model.fit_seconds)), h("td", { class: "soft edge" }, seconds(model.score_seconds))]);
      })))));
}

function versus(model) {
  if (model.floor) return "floor";
  const difference = model.versus?.differences[chosen];
  if (!difference) return "–";
  const { mean, low, high } = difference;
  const signed = (x) => `${x < 0 ? "" : "+"}${share(x)}`;
  const told = low > 0 || high < 0;
  const verdict = !told ? "not told apart from" : !isAccuracy(chosen) ? "differs from" : mean > 0 ? "better than" : "worse than";
  return [h("span", { class: told && mean > 0 && isAccuracy(chosen) ? "good" : null }, `${signed(mean)} [${signed(low)}, ${signed(high)}]`), ` ${verdict} ${model.versus.model}`];
}

function all(models, metrics) {
  const overall = [...new Set(models.flatMap((model) => Object.keys(model.overall ?? {})))].sort();
  return h("section", { class: "sheet" }, h("h2", {}, "Every metric"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every metric" }, h("table", { class: "broad" },
      heads([["model"], ...[...metrics, ...overall].map((metric) => [label(metric)])]),
      h("tbody", {}, models.map((model) => row(model, null, [
        metrics.map((metric) => {
          const value = model.metrics[metric];
          const text = share(value?.mean);
          return h("td", { title: value && `${share(value.low)} to ${share(value.high)}` }, best(models, metric) === model.name ? h("b", {}, text) : text);
        }),
        overall.map((metric) => h("td", {}, share(model.overall?.[metric])))]))))));
}

function plot({ mean, low, high }, bottom, top) {
  const x = (value) => `${((100 * (value - bottom)) / (top - bottom)).toFixed(2)}%`;
  return s("svg", { role: "img", "aria-label": `${share(low)} to ${share(high)}` },
    s("line", { class: "rule", x1: "0", x2: "100%", y1: "10", y2: "10" }),
    s("line", { x1: x(low), x2: x(high), y1: "10", y2: "10" }),
    s("circle", { cx: x(mean), cy: "10", r: "4" }));
}

function protocolList({ candidates, bootstrap, notes, leaks, ...plain }) {
  const first = ["set", "digest", "split", "relevance", "fitted_on", "history", "users", "masked", "ties", "k", "seed", "fingerprint"];
  const known = [...first.filter((name) => name in plain), ...Object.keys(plain).filter((name) => !first.includes(name))];
  const facts = known.map((name) => [name, plain[name]]).map(([name, value]) => [name.replaceAll("_", " "), Array.isArray(value) ? value.join(", ") : typeof value === "number" ? (name === "seed" ? String(value) : count(value)) : String(value)]);
  facts.push(["candidates", `${count(candidates.n)}, ${candidates.what}`], ["intervals", `${percent(bootstrap.level)}, from ${count(bootstrap.samples)} resamples of the viewers`]);
  return h("dl", { class: "facts-list" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

// What a reader must know besides: notes, leaks, and what was not measured.
function remarks({ models, protocol, left_out: left = [] }) {
  const lines = [
    ...(protocol.notes ?? []).map((note) => ["note", note]),
    ...models.flatMap((model) => (model.notes ?? []).map((note) => [model.name, note])),
    ...(protocol.leaks ?? []).map(({ note, handled }) => [handled ? "leak, made harmless by the protocol" : "leak", note]),
    ...left.map(({ name, reason }) => [`${name}, left out`, reason]),
  ];
  if (!lines.length) return "";
  return h("section", { class: "sheet" }, h("h2", {}, "What else to know"), h("dl", { class: "facts-list" }, lines.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])));
}

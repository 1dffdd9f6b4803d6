// Starts the taste map where it is one file: what a server would answer stands in the page.

import { at, h } from "./dom.js";
import { titleOf } from "./cover.js";
import { taste } from "./map.js";
import { journey } from "./journey.js";

const FOUND = 8;
const data = JSON.parse(at("data").textContent);
const points = new Map(data.videos.map(({ id }, point) => [id, point]));
const named = (point) => ({ id: data.videos[point].id, title: data.videos[point].title, point });

const source = {
  map: async () => data.map,
  video: async (id) => {
    const video = data.videos[points.get(id)];
    return { ...video, near: (video.near ?? []).map(([name, near]) => [name, near.map(named)]) };
  },
  path: async () => data.path,
  journey: async () => data.journey,
  find: async (query) => data.videos.filter((video) => titleOf(video).toLowerCase().includes(query.toLowerCase())).slice(0, FOUND),
};

const who = data.path ? `viewer ${data.path.user}` : "nobody";
document.title = `${data.name} · taste map`;
at("name").textContent = `The taste map of ${data.name}`;
at("about").replaceChildren(h("p", {}, data.notice ?? ""));
taste(at("atlas"), source, { who: () => who }).follow();
if (data.journey) {
  at("journey").hidden = false;
  journey(at("steps"), source, { who });
}

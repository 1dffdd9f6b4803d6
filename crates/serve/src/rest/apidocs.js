// Reads /apidocs.json and shows it; routes without a path parameter and without a body can be tried on the spot.

// What a newcomer wants first; other tags follow.
const TAGS = ["v2", "recommendations", "feedback", "items", "users", "health"];
const METHODS = ["get", "post", "put", "patch", "delete"];

function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const json = (value) => JSON.stringify(value, null, 2);

function curl(path, method, operation) {
  const body = operation.requestBody?.content?.["application/json"]?.example;
  return [
    "curl",
    method === "get" ? "" : `-X ${method.toUpperCase()}`,
    operation.security ? "-H 'X-API-Key: …'" : "",
    body ? `-H 'Content-Type: application/json' -d '${JSON.stringify(body)}'` : "",
    `'${location.origin}${path}'`,
  ].filter(Boolean).join(" ");
}

function tried(path) {
  const out = h("pre", { "aria-live": "polite" });
  const ask = async () => {
    out.textContent = "Asking…";
    try {
      const answer = await fetch(path);
      const text = await answer.text();
      let shown = text;
      try {
        shown = json(JSON.parse(text));
      } catch {
        // Not JSON: shown as it is.
      }
      out.textContent = `${answer.status}\n${shown.slice(0, 20000)}`;
    } catch (error) {
      out.textContent = String(error);
    }
  };
  return [h("button", { type: "button", onclick: ask }, "Try it"), out];
}

function route(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const answer = operation.responses?.["200"]?.content?.["application/json"]?.example;
  return h("details", {},
    h("summary", {}, h("code", {}, `${method.toUpperCase()} ${path}`), " ", h("span", { class: "soft" }, operation.summary)),
    parameters.length ? h("ul", {}, parameters.map((one) => h("li", {}, h("code", {}, one.name), ` (${one.in}) ${one.description ?? ""}`))) : null,
    operation.security ? h("p", { class: "soft" }, "Needs the key where the service has one.") : null,
    h("pre", {}, curl(path, method, operation)),
    answer === undefined ? null : [h("p", { class: "soft" }, "answers"), h("pre", {}, json(answer))],
    method === "get" && !path.includes("{") ? tried(path) : null);
}

async function show() {
  const about = document.getElementById("about");
  try {
    const described = await (await fetch("/apidocs.json")).json();
    about.textContent = described.info.description;
    const byTag = new Map();
    for (const [path, item] of Object.entries(described.paths)) {
      for (const method of METHODS.filter((method) => item[method])) {
        const tag = item[method].tags?.[0] ?? "other";
        byTag.set(tag, [...(byTag.get(tag) ?? []), route(path, method, item[method])]);
      }
    }
    const place = (tag) => (TAGS.includes(tag) ? TAGS.indexOf(tag) : TAGS.length);
    const sorted = [...byTag].sort(([a], [b]) => place(a) - place(b));
    document.getElementById("routes").replaceChildren(
      ...sorted.map(([tag, routes]) => h("section", { class: "sheet" }, h("h2", {}, tag), routes)));
  } catch (error) {
    about.textContent = `The description did not come: ${error}`;
  }
}

show();

// Draws openapi.json as a page. Text goes in as text nodes only, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

function el(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const refName = (ref) => ref.split("/").pop();

// A schema as one readable line.
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return refName(schema.$ref);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const parts = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (parts) return parts.map(typeOf).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items) || "any"}[]`;
  const type = [schema.type ?? "any"].flat().join(" | ");
  return schema.format ? `${type} (${schema.format})` : type;
}

// A schema as the shape of a JSON value; references are followed once, so that cycles end.
function shape(schema, schemas, indent = "", seen = []) {
  if (schema?.$ref) {
    const name = refName(schema.$ref);
    if (seen.includes(name) || !schemas[name]) return name;
    return shape(schemas[name], schemas, indent, [...seen, name]);
  }
  const parts = schema?.oneOf ?? schema?.anyOf ?? schema?.allOf;
  if (parts) return parts.map((part) => shape(part, schemas, indent, seen)).join(" | ");
  if (schema?.type === "array" && schema.items) return `[${shape(schema.items, schemas, indent, seen)}]`;
  if (!schema?.properties) return typeOf(schema);
  const deeper = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    const note = property.description ? `  // ${property.description.split("\n")[0]}` : "";
    return `${deeper}${name}${optional}: ${shape(property, schemas, deeper, seen)},${note}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

function content(body, schemas) {
  return Object.entries(body?.content ?? {}).map(([mime, media]) => {
    const isJson = mime.endsWith("json") || mime === "text/event-stream";
    const detail = isJson && !mime.includes("problem") ? el("pre", {}, shape(media.schema, schemas)) : null;
    return el("div", {}, el("code", {}, `${mime} `), el("span", { className: "faint" }, typeOf(media.schema)), detail);
  });
}

function operation(path, method, spec, schemas) {
  const rows = (spec.parameters ?? []).map((parameter) =>
    el("tr", {},
      el("td", {}, el("code", {}, parameter.name)),
      el("td", {}, `${parameter.description ?? ""} `,
        el("span", { className: "faint" },
          `${typeOf(parameter.schema)}, in ${parameter.in}${parameter.required ? ", required" : ""}`))));
  const answers = Object.entries(spec.responses).map(([status, answer]) =>
    el("tr", {}, el("td", {}, el("code", {}, status)), el("td", {}, answer.description, ...content(answer, schemas))));
  return el("article", { id: `${method}-${path}` },
    el("div", { className: "title" },
      el("span", { className: "method" }, method.toUpperCase()),
      el("span", { className: "path" }, path)),
    el("p", {}, el("strong", {}, spec.summary ?? "")),
    ...(spec.description ?? "").split("\n\n").filter(Boolean).map((text) => el("p", {}, text)),
    ...(rows.length ? [el("h3", {}, "Parameters"), el("table", {}, ...rows)] : []),
    ...(spec.requestBody ? [el("h3", {}, "Body"), ...content(spec.requestBody, schemas)] : []),
    el("h3", {}, "Answers"), el("table", {}, ...answers));
}

const api = await (await fetch("/api/openapi.json")).json();
const schemas = api.components?.schemas ?? {};
document.getElementById("about").textContent = `Version ${api.info.version}. ${api.info.description ?? ""}`;

const groups = new Map();
for (const [path, item] of Object.entries(api.paths)) {
  for (const method of METHODS.filter((method) => item[method])) {
    const tag = item[method].tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), { path, method, spec: item[method] }]);
  }
}
const contents = el("ul", {});
for (const [tag, operations] of groups) {
  document.getElementById("operations").append(el("h2", {}, tag));
  for (const { path, method, spec } of operations) {
    contents.append(el("li", {}, el("a", { href: `#${method}-${path}` },
      el("span", { className: "method" }, method.toUpperCase()),
      el("span", { className: "path" }, path),
      el("span", { className: "faint" }, spec.summary ?? ""))));
    document.getElementById("operations").append(operation(path, method, spec, schemas));
  }
}
document.getElementById("contents").append(contents);

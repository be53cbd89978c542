"use strict";
// Everything a model or a page wrote reaches the document as text nodes only; nothing here makes markup of a string.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, classes = "", ...children) => {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
};
const FILTERS = [
  ["all", "all", () => true],
  ["failed", "failed", (cell) => cell.trials.some((trial) => trial.outcome === "FAIL")],
  ["regressed", "regressed", (cell, column, item) => worse(item, column)],
  ["error", "error", (cell) => cell.trials.some((trial) => trial.outcome === "ERROR")],
  ["stale", "stale", (cell) => cell.trials.some((trial) => trial.outcome === "STALE") || data.variants[cell.column].stale],
  ["unsupported", "unsupported", (cell) => cell.unsupported > 0],
  ["missed", "missed gold", (cell) => cell.gold && cell.gold.missed.length > 0],
  ["expensive", "expensive", (cell) => cell.expensive],
  ["decided", "decided", (cell, column, item) => Boolean(decisions[keyOf(item, column)])],
];
const RANK = { PASS: 3, "NEEDS REVIEW": 2, "NEEDS RECORDING": 1, STALE: 1, FAIL: 0, ERROR: -1 };
const storeKey = "crossmusim-decisions-" + data.id;
let decisions = {};
try { decisions = JSON.parse(localStorage.getItem(storeKey)) || {}; } catch { /* no storage: decisions last as long as the page */ }
let base = 0, filter = "all", shown = [], at = { row: 0, column: 0 }, drawn = new Map();

const cellOf = (item, column) => item.cells[column];
const keyOf = (item, column) => data.variants[column].id + "\u0000" + item.name;
function worse(item, column) {
  const own = cellOf(item, column), old = cellOf(item, base);
  if (!own || !old || column === base) return false;
  const [a, b] = [old, own].map((cell) => RANK[cell.trials[0].outcome]);
  if (a !== b) return b < a;
  if (own.f1 !== null && old.f1 !== null && own.f1 !== old.f1) return own.f1 < old.f1;
  return own.supported !== null && old.supported !== null && own.supported < old.supported;
}

function choose() {
  const test = FILTERS.find((each) => each[0] === filter)[2];
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = data.items.filter((item) =>
    words.every((word) => item.search.includes(word)) &&
    (filter === "all" || item.cells.some((cell, column) => cell && test(cell, column, item))));
  at.row = Math.min(at.row, Math.max(0, shown.length - 1));
  byId("none").hidden = shown.length > 0;
  const cells = shown.reduce((sum, item) => sum + item.cells.filter(Boolean).length, 0);
  byId("summary").textContent = `${shown.length} of ${data.items.length} items, ${data.variants.length} variants, ${cells} cells. ${data.note}`;
  drawn.forEach((row) => row.remove());
  drawn.clear();
  byId("rows").style.height = shown.length * rowHeight() + "px";
  draw();
}
const rowHeight = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);

function draw(all = false) {
  const height = rowHeight(), top = byId("rows").getBoundingClientRect().top;
  const first = all ? 0 : Math.max(0, Math.floor(-top / height) - 12);
  const last = all ? shown.length : Math.min(shown.length, Math.ceil((innerHeight - top) / height) + 12);
  drawn.forEach((row, place) => { if (place < first || place >= last) { row.remove(); drawn.delete(place); } });
  const fresh = document.createDocumentFragment();
  for (let place = first; place < last; place++) if (!drawn.has(place)) {
    const row = rowOf(shown[place], place);
    row.style.top = place * height + "px";
    drawn.set(place, row);
    fresh.append(row);
  }
  byId("rows").append(fresh);
}

function rowOf(item, place) {
  const about = [item.about.title, item.about.artist].filter(Boolean).join(", ");
  const kind = [item.about.language, item.about.kind, item.about.manner].filter(Boolean).join(" · ");
  const name = make("div", "", make("b", "", item.name), make("div", "soft small", about), make("div", "soft small", kind));
  const row = make("div", "row", name);
  row.setAttribute("role", "row");
  item.cells.forEach((cell, column) => row.append(cell ? cellView(item, cell, column, place) : make("div", "cell soft", "not asked")));
  return row;
}

function cellView(item, cell, column, place) {
  const trial = cell.trials[0], box = make("div", "cell" + (worse(item, column) ? " worse" : ""));
  const passed = cell.trials.filter((each) => each.outcome === "PASS").length;
  const outcome = make("span", "outcome " + trial.outcome.split(" ")[0], trial.outcome, cell.trials.length > 1 ? ` ${passed}/${cell.trials.length}` : "");
  const numbers = [
    cell.f1 === null ? "" : `F1 ${cell.f1.toFixed(2)}`,
    cell.unsupported ? `${cell.unsupported} unsupported` : "",
    cell.usd ? `$${cell.usd.toFixed(5)}` : "", cell.tokens ? `${cell.tokens} tok` : "", cell.seconds ? `${cell.seconds.toFixed(1)} s` : "",
  ].filter(Boolean).join(" · ");
  const chips = make("div", "chips", ...trial.aspects.map((aspect) => chip(aspect.text, aspect.facet)));
  box.append(make("div", "line", outcome, numbers), chips, make("p", "caption", trial.caption || trial.problems[0] || ""));
  const decision = decisions[keyOf(item, column)];
  if (decision) box.append(make("span", "decided " + (decision.decision === "accept" ? "PASS" : "FAIL"), decision.decision === "accept" ? "✓" : "✗"));
  box.tabIndex = at.row === place && at.column === column ? 0 : -1;
  box.setAttribute("role", "gridcell");
  box.setAttribute("aria-label", `${item.name}, ${data.variants[column].name}, ${trial.outcome}`);
  box.addEventListener("click", () => { at = { row: place, column }; open(); });
  return box;
}

function chip(text, facet, more = "") {
  const element = make("span", `chip f-${facet} ${more}`, text);
  element.title = facet;
  return element;
}

function focusCell() {
  const height = rowHeight(), top = byId("rows").getBoundingClientRect().top + at.row * height;
  const above = byId("head").getBoundingClientRect().height;
  if (top < above) scrollBy(0, top - above - 8);
  else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight + 8);
  draw();
  const row = drawn.get(at.row);
  if (row) {
    const box = row.children[1 + at.column];
    box.tabIndex = 0;
    box.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

// The source with the quote of each aspect highlighted where it stands: cut at every start and end, marked where covered.
function sourceView(text, aspects) {
  const box = make("div", "source"), points = [...text], spans = [];
  aspects.forEach((aspect, number) => aspect.spans.forEach(([start, end]) => spans.push([start, end, number])));
  const cuts = [...new Set([0, points.length, ...spans.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
  for (let place = 0; place + 1 < cuts.length; place++) {
    const piece = points.slice(cuts[place], cuts[place + 1]).join("");
    const own = spans.filter(([start, end]) => start <= cuts[place] && cuts[place + 1] <= end).map((span) => span[2]);
    if (!own.length) { box.append(piece); continue; }
    const mark = make("mark", "", piece);
    mark.title = own.map((number) => aspects[number].text).join("; ");
    mark.dataset.own = own.join(" ");
    box.append(mark);
  }
  return box;
}

// Word diff by the longest common subsequence.
function diff(old, fresh) {
  const a = old.split(/(\s+)/), b = fresh.split(/(\s+)/);
  if (a.length * b.length > 4e6) return [make("del", "", old), make("ins", "", fresh)];
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
    table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const parts = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) { parts.push(a[i]); i++; j++; }
    else if (j >= b.length || (i < a.length && table[i + 1][j] >= table[i][j + 1])) parts.push(make("del", "", a[i++]));
    else parts.push(make("ins", "", b[j++]));
  }
  return parts;
}

function open() {
  const item = shown[at.row], panel = byId("detail");
  if (!item || !cellOf(item, at.column)) return;
  const close = make("button", "close", "Close");
  close.addEventListener("click", shut);
  const cell = cellOf(item, at.column), aspects = cell.trials[0].aspects;
  const lines = Object.entries(item.about).map(([name, value]) => `${name}: ${value}`).join(" · ");
  panel.replaceChildren(close, make("h2", "", item.name), make("p", "soft small", lines));
  if (item.source !== null) panel.append(sourceView(item.source, aspects));
  item.cells.forEach((each, column) => { if (each) panel.append(variantView(item, each, column)); });
  const prompt = make("details", "", make("summary", "", "the prompt as sent"));
  (cell.messages || []).forEach((message) => prompt.append(make("div", "soft small", message.role), make("pre", "", message.content)));
  if (cell.messages && cell.messages.length) panel.append(prompt);
  panel.hidden = false;
  document.body.classList.add("open");
  panel.querySelector(".variant.at")?.scrollIntoView({ block: "nearest" });
}

function variantView(item, cell, column) {
  const variant = data.variants[column], trial = cell.trials[0], old = column === base ? null : cellOf(item, base);
  const box = make("section", "variant" + (column === at.column ? " at" : ""));
  const outcome = make("span", "outcome " + trial.outcome.split(" ")[0], trial.outcome);
  box.append(make("h3", "", variant.name, "  ", outcome));
  trial.problems.forEach((problem) => box.append(make("p", "small FAIL", problem)));
  const before = old ? old.trials[0].aspects.map((aspect) => aspect.text) : null;
  const chips = make("div", "chips");
  trial.aspects.forEach((aspect, number) => {
    const element = chip(aspect.text, aspect.facet, before && !before.includes(aspect.text) ? "new" : "");
    element.append(" ", make("small", "", aspect.facet));
    const light = (on) => document.querySelectorAll("mark").forEach((mark) =>
      mark.classList.toggle("on", on && column === at.column && mark.dataset.own.split(" ").includes(String(number))));
    element.addEventListener("mouseenter", () => light(true));
    element.addEventListener("mouseleave", () => light(false));
    chips.append(element);
  });
  if (before) before.filter((text) => !trial.aspects.some((aspect) => aspect.text === text)).forEach((text) => chips.append(chip(text, "other", "gone")));
  box.append(chips);
  const caption = make("p", "caption");
  if (old && (old.trials[0].caption || "") !== (trial.caption || "")) caption.append(...diff(old.trials[0].caption || "", trial.caption || ""));
  else caption.append(trial.caption || "no caption");
  box.append(caption);
  if (trial.rejected.length) {
    const list = make("div", "chips");
    trial.rejected.forEach((row) => {
      const element = make("span", "chip off", row.text || row.reason);
      element.title = row.finding;
      list.append(element, make("span", "small soft", `${row.reason}: ${row.finding}`));
    });
    const folded = make("details", "", make("summary", "", `${trial.rejected.length} left out`), list);
    folded.open = cell.unsupported > 0;
    box.append(folded);
  }
  if (cell.gold) {
    const list = make("div", "chips", ...cell.gold.missed.map((text) => chip(text, "other", "missed")));
    box.append(make("p", "small soft", `F1 ${cell.f1.toFixed(2)}; missed gold aspects: ${cell.gold.missed.length || "none"}`), list);
    const faults = [...Object.entries(cell.gold.ragged).map(([text, fault]) => `${text} (${fault})`), ...cell.gold.denied.map((text) => `${text} (denied by the document)`)];
    if (faults.length) box.append(make("p", "small FAIL", faults.join("; ")));
  }
  const more = cell.trials.slice(1);
  if (more.length) {
    const counts = {};
    cell.trials.forEach((each) => { counts[each.outcome] = (counts[each.outcome] || 0) + 1; });
    const folded = make("details", "", make("summary", "", `${cell.trials.length} samples: ` + Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(", ")));
    more.forEach((each) => folded.append(make("p", "small", `${each.sample}: ${each.outcome}: ${each.aspects.map((aspect) => aspect.text).join(", ")} | ${each.caption || "no caption"}`)));
    box.append(folded);
  }
  if (trial.reply) box.append(make("details", "", make("summary", "", "the reply as received"), make("pre", "", trial.reply)));
  const cost = [cell.tokens && `${cell.tokens} tokens`, cell.usd && `${cell.usd.toFixed(6)} USD`, cell.seconds && `${cell.seconds.toFixed(2)} s`].filter(Boolean).join(", ");
  box.append(make("p", "small soft", cost), decideView(item, column));
  return box;
}

function decideView(item, column) {
  const box = make("div", "decide"), own = decisions[keyOf(item, column)];
  const note = make("textarea");
  note.placeholder = "a note: why";
  note.value = own ? own.note : "";
  note.addEventListener("input", () => { if (decisions[keyOf(item, column)]) { decisions[keyOf(item, column)].note = note.value; keep(); } });
  ["accept", "reject"].forEach((decision) => {
    const button = make("button", "", decision);
    button.type = "button";
    button.setAttribute("aria-pressed", String(Boolean(own && own.decision === decision)));
    button.addEventListener("click", () => decide(item, column, own && own.decision === decision ? null : decision, note.value));
    box.append(button);
  });
  box.append(note);
  return box;
}

function decide(item, column, decision, note) {
  const key = keyOf(item, column);
  if (decision) decisions[key] = { run: data.variants[column].id, item: item.name, sample: 0, decision, note: note ?? decisions[key]?.note ?? "" };
  else delete decisions[key];
  keep();
  const row = shown.indexOf(item), old = drawn.get(row);
  if (old) { const fresh = rowOf(item, row); fresh.style.top = old.style.top; old.replaceWith(fresh); drawn.set(row, fresh); }
  if (!byId("detail").hidden) open();
}

function keep() {
  try { localStorage.setItem(storeKey, JSON.stringify(decisions)); } catch { /* see above */ }
  const n = Object.keys(decisions).length;
  byId("export").textContent = n ? `Export ${n} decisions` : "Export decisions";
}
const decided = () => ({ format: 1, decisions: Object.values(decisions) });

function shut() { byId("detail").hidden = true; document.body.classList.remove("open"); focusCell(); }

async function save() {
  const answer = await fetch("decisions", { method: "POST", headers: { "Content-Type": "application/json", "X-Token": data.token }, body: JSON.stringify(decided()) });
  const said = await answer.json();
  byId("said").textContent = said.said;
  if (answer.ok) { decisions = {}; keep(); choose(); }
}

// The live page looks for newer runs while it is open, and says so; it never takes a half-made decision away.
function watch() {
  setInterval(async () => {
    try {
      const answer = await fetch("stamp", { headers: { "X-Token": data.token } });
      if (answer.ok && (await answer.json()).stamp !== data.stamp) byId("said").textContent = "There are newer runs: reload the page to see them.";
    } catch { byId("said").textContent = "The server has ended; decisions can still be exported."; }
  }, 2000);
}

const KEYS = {
  ArrowDown: () => move(1, 0), j: () => move(1, 0), ArrowUp: () => move(-1, 0), k: () => move(-1, 0),
  ArrowRight: () => move(0, 1), l: () => move(0, 1), ArrowLeft: () => move(0, -1), h: () => move(0, -1),
  Enter: open, Escape: shut, "/": () => byId("search").focus(), "?": () => byId("keys").showModal(),
  a: () => mark("accept"), r: () => mark("reject"), u: () => mark(null),
  n: () => { open(); document.querySelector(".variant.at textarea")?.focus(); },
};
function move(rows, columns) {
  at.row = Math.max(0, Math.min(shown.length - 1, at.row + rows));
  at.column = Math.max(0, Math.min(data.variants.length - 1, at.column + columns));
  focusCell();
  if (!byId("detail").hidden) open();
}
function mark(decision) {
  const item = shown[at.row];
  if (!item || !cellOf(item, at.column)) return;
  decide(item, at.column, decision, null);
  if (byId("detail").hidden) focusCell();
}
function keyed(event) {
  const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (typing) { if (event.key === "Escape") event.target.blur(); return; }
  if (event.key === "Enter" && ["BUTTON", "SUMMARY", "A"].includes(event.target.tagName)) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
}

// Heading and filters, whose counts depend on the base.
function frame() {
  byId("head").replaceChildren(make("div", "", make("b", "", data.about)));
  data.variants.forEach((variant) => byId("head").append(make("div", "", make("b", "", variant.name), make("span", "soft small", variant.line))));
  byId("filters").replaceChildren();
  FILTERS.forEach(([name, label, test]) => {
    const count = data.items.filter((item) => item.cells.some((cell, column) => cell && test(cell, column, item))).length;
    const button = make("button", "", `${label} ${count}`);
    button.type = "button";
    button.dataset.filter = name;
    button.setAttribute("aria-pressed", String(name === filter));
    button.addEventListener("click", () => { filter = name; frame(); choose(); });
    byId("filters").append(button);
  });
}

function begin() {
  data.items.forEach((item) => item.cells.forEach((cell, column) => { if (cell) cell.column = column; }));
  data.variants.forEach((variant, column) => {
    const option = make("option", "", variant.name);
    option.value = column;
    byId("base").append(option);
  });
  byId("base").addEventListener("change", () => { base = Number(byId("base").value); frame(); choose(); });
  byId("search").addEventListener("input", choose);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("export").addEventListener("click", () => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(decided(), null, 1)], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  if (data.token) { byId("save").hidden = false; byId("save").addEventListener("click", save); watch(); }
  addEventListener("scroll", () => draw(), { passive: true });
  addEventListener("resize", choose);
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
  addEventListener("keydown", keyed);
  frame();
  keep();
  choose();
}

begin();

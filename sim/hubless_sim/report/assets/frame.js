"use strict";
// The frame of all panels: one span of time for all of them, zoomed and moved together, and one moment that is looked at.
const S = JSON.parse(document.getElementById("story").textContent);
const GUTTER = 112, RIGHT = 20, FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const SMALL = FONT.replace("12px", "11px"), TINY = FONT.replace("12px", "10px");
const view = { from: S.window[0], until: S.window[1] };
const panels = [];
const hidden = new Set();
let pinned = S.star ? S.star[0] : mostAtOdds();
let hovered = null;
let drawing = 0;
let colours = {};

const byId = (id) => document.getElementById(id);
const clamp = (value, least, most) => Math.max(least, Math.min(most, value));
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function colour(name) {
  if (!(name in colours)) colours[name] = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  return colours[name];
}

const FEW = ["#4477aa", "#ee7733", "#228833", "#aa3377", "#ccaa22", "#33bbcc", "#cc3344", "#7b68c8", "#8d6e4f", "#7d8b99"];
function nodeColour(node) {
  if (S.nodes <= FEW.length) return FEW[node % FEW.length];
  const dark = document.documentElement.dataset.theme === "dark";
  return `hsl(${(node * 137.508) % 360} ${node % 2 ? 52 : 62}% ${(dark ? 56 : 50) + (node % 3) * 7}%)`;
}

// Without a violation, the moment at which the most beliefs are not that all is well.
function mostAtOdds() {
  const held = new Map();
  let odd = 0, most = -1, found = S.window[1];
  for (const [at, observer, subject, condition] of S.beliefs) {
    const pair = observer * S.nodes + subject;
    odd += (condition > 0) - (held.get(pair) > 0);
    held.set(pair, condition);
    if (odd >= most && odd > 0 && at >= S.window[0] && at <= S.window[1]) { most = odd; found = at; }
  }
  return found;
}

// Time

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
function inMs(us, places = 2) {
  const [whole, part] = (us / 1000).toFixed(places).split(".");
  return grouped(whole) + (part ? "." + part : "") + " ms";
}
function tickText(us, step) {
  if (step >= 1e6) return us / 1e6 + " s";
  return inMs(us, step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3);
}
function ticks(width) {
  const rough = ((view.until - view.from) * 110) / Math.max(1, width - GUTTER - RIGHT);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || 10 * power;
  const found = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.until; at += step) found.push(at);
  return { step, found };
}
const place = (us, width) => GUTTER + ((us - view.from) / (view.until - view.from)) * (width - GUTTER - RIGHT);
const timeAt = (x, width) => view.from + ((x - GUTTER) / (width - GUTTER - RIGHT)) * (view.until - view.from);

function show(from, until) {
  const [first, last] = S.window;
  const span = clamp(until - from, 50, last - first);
  view.from = clamp(from, first, last - span);
  view.until = view.from + span;
  redraw();
}
function zoom(factor, about) {
  show(about - (about - view.from) * factor, about + (view.until - about) * factor);
}
function redraw() {
  if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; drawAll(); });
}

// Canvases

function prepared(canvas, height) {
  const width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
  canvas.style.height = height + "px";
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = "middle";
  return { pen, width, height };
}
function insideTime(pen, width, height) {
  pen.beginPath();
  pen.rect(GUTTER, 0, width - GUTTER - RIGHT + 1, height);
  pen.clip();
}
function gutterText(pen, text, y, ink = colour("ink"), font = FONT) {
  pen.font = font;
  pen.fillStyle = ink;
  pen.textAlign = "right";
  let shown = text;
  while (shown.length > 2 && pen.measureText(shown).width > GUTTER - 14) shown = shown.slice(0, -2) + "…";
  pen.fillText(shown, GUTTER - 10, y);
  pen.textAlign = "left";
}
function hatch(pen, x, y, width, height, ink, gap = 5) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  const first = Math.max(x, 0) - height, last = Math.min(x + width, 4000);
  for (let at = first - (first % gap); at < last; at += gap) { pen.moveTo(at, y + height); pen.lineTo(at + height, y); }
  pen.stroke();
  pen.restore();
}
function gridLines(pen, width, height) {
  pen.strokeStyle = colour("line");
  pen.globalAlpha = 0.6;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const at of ticks(width).found) { const x = Math.round(place(at, width)) + 0.5; pen.moveTo(x, 0); pen.lineTo(x, height); }
  pen.stroke();
  pen.globalAlpha = 1;
}

// Panels. Each has `height()`, `draw(pen, width, height)`, and `hit(x, y, width)` that gives the text of a tip, or null.

function addPanel({ title, hint = "", key = [], height, draw, hit = () => null, click = () => {} }) {
  const section = document.createElement("section");
  section.className = "panel";
  const swatches = key.map(([name, text]) => `<span style="--of:var(--${name})">${escaped(text)}</span>`).join("");
  section.innerHTML = `<header><h2>${escaped(title)}</h2><p>${escaped(hint)}</p><span class="key">${swatches}</span></header>
    <div class="stage"><canvas aria-label="${escaped(title)}"></canvas><div class="hair pin"></div><div class="hair" hidden></div></div>`;
  byId("panels").append(section);
  const stage = section.querySelector(".stage");
  const [pin, hair] = section.querySelectorAll(".hair");
  pin.classList.toggle("plain", !S.star);
  const panel = { section, stage, canvas: section.querySelector("canvas"), pin, hair, height, draw, hit, click };
  panels.push(panel);
  listen(panel);
}
function drawAll() {
  drawAxis();
  for (const panel of panels) {
    const { pen, width, height } = prepared(panel.canvas, panel.height());
    panel.width = width;
    panel.draw(pen, width, height);
  }
  moveHairs();
  drawMoment();
  byId("range").textContent = `${inMs(view.from, 1)} – ${inMs(view.until, 1)}`;
}
function drawAxis() {
  const { pen, width, height } = prepared(byId("axis"), 26);
  const { step, found } = ticks(width);
  pen.textAlign = "center";
  pen.font = SMALL;
  for (const at of found) {
    const x = place(at, width);
    pen.fillStyle = colour("soft");
    if (x > GUTTER + 24 && x < width - 40) pen.fillText(tickText(at, step), x, 11);
    pen.fillStyle = colour("faint");
    pen.fillRect(Math.round(x), height - 6, 1, 6);
  }
  if (S.star && S.star[0] >= view.from && S.star[0] <= view.until) {
    pen.fillStyle = colour("star");
    pen.font = FONT;
    pen.fillText("★", place(S.star[0], width), height - 6);
  }
}
function moveHairs() {
  for (const { pin, hair, width } of panels) {
    const x = place(pinned, width);
    pin.hidden = x < GUTTER || x > width - RIGHT + 1;
    pin.style.left = x + "px";
    hair.hidden = hovered === null;
    if (hovered !== null) hair.style.left = place(hovered, width) + "px";
  }
}

function listen(panel) {
  const { stage } = panel;
  let held = null;
  stage.addEventListener("pointermove", (event) => {
    const at = stage.getBoundingClientRect();
    const x = event.clientX - at.left, y = event.clientY - at.top;
    if (held) {
      const shift = ((held.x - x) / (panel.width - GUTTER - RIGHT)) * (held.until - held.from);
      held.moved = held.moved || Math.abs(held.x - x) > 3;
      if (held.moved) show(held.from + shift, held.until + shift);
      return;
    }
    hovered = x >= GUTTER && x <= panel.width - RIGHT ? timeAt(x, panel.width) : null;
    moveHairs();
    drawMoment();
    showTip(panel.hit(x, y, panel.width), event);
  });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const at = stage.getBoundingClientRect();
    held = { x: event.clientX - at.left, y: event.clientY - at.top, from: view.from, until: view.until, moved: false };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointerup", () => {
    if (held && !held.moved && held.x >= GUTTER) {
      pinned = clamp(timeAt(held.x, panel.width), ...S.window);
      panel.click(held.x, held.y, panel.width);
      redraw();
    }
    held = null;
  });
  stage.addEventListener("pointerleave", () => { hovered = null; showTip(null); moveHairs(); drawMoment(); });
  stage.addEventListener("dblclick", (event) => zoom(0.25, timeAt(event.clientX - stage.getBoundingClientRect().left, panel.width)));
  stage.addEventListener("wheel", (event) => {
    const about = timeAt(event.clientX - stage.getBoundingClientRect().left, panel.width);
    if (event.ctrlKey || event.metaKey || event.altKey) zoom(Math.exp(event.deltaY * 0.004), about);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = ((event.deltaX || event.deltaY) / panel.width) * (view.until - view.from);
      show(view.from + by, view.until + by);
    } else return;
    event.preventDefault();
  }, { passive: false });
}
function showTip(text, event) {
  const tip = byId("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.innerHTML = text;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.min(event.clientX + 14, innerWidth - width - 8) + "px";
  tip.style.top = (event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16) + "px";
}

// The page around the panels

function writeHead() {
  const { run } = S;
  byId("facts").textContent =
    `${run.tape} · ${(run.end / 1e6).toFixed(2)} s played · ` +
    `${grouped(String(run.messages))} packets, ${grouped(String(run.lost))} lost · digest ${run.digest.slice(0, 12)}`;
  const first = run.violations[0];
  const badge = `<span class="badge ${run.verdict}">${run.verdict}</span>`;
  byId("headline").innerHTML = first ? `${badge}: ${escaped(first[0])}` : `${badge}: all that was checked`;
  if (first) byId("violation").textContent = first[1].length > 600 ? first[1].slice(0, 600) + "…" : first[1];
  if (run.violations.length > 1) {
    const more = byId("more");
    more.hidden = false;
    more.querySelector("summary").textContent = `and ${run.violations.length - 1} more`;
    more.querySelector("ol").innerHTML = run.violations.slice(1, 40).map((v) => `<li>${escaped(v[0])}: ${escaped(v[1])}</li>`).join("");
  }
}
function writeLegend() {
  const seen = new Set(S.packets.family);
  S.families.forEach(([family], number) => {
    if (!seen.has(number)) return;
    const button = document.createElement("button");
    button.textContent = family;
    button.style.setProperty("--of", `var(--${family})`);
    button.setAttribute("aria-pressed", "true");
    button.title = "show or hide these packets";
    button.onclick = () => {
      hidden.has(number) ? hidden.delete(number) : hidden.add(number);
      button.setAttribute("aria-pressed", String(!hidden.has(number)));
      redraw();
    };
    byId("legend").append(button);
  });
}
function writeFoot() {
  const { leftOut } = S, told = [];
  const say = (count, text) => count && told.push(`${grouped(String(count))} ${text}`);
  say(leftOut.packets, `packets of this window are not drawn, ${grouped(String(leftOut.routine))} of them routine; a narrower window (--from-ms, --to-ms) shows them`);
  say(leftOut.marks, "marks on lanes are not drawn");
  say(leftOut.beliefs, "later changes of beliefs are not drawn");
  say(leftOut.owners, "later changes of owners are not drawn");
  say(leftOut.tasks, "later tasks are not drawn");
  say(leftOut.recorded, "events and packets at the end were not recorded");
  told.push("Drag to move, pinch or Ctrl and wheel to zoom, double-click to zoom in, click to keep a moment; ← → + − 0 do the same.");
  byId("foot").innerHTML = told.map((text) => `<p>${escaped(text)}</p>`).join("");
}
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  colours = {};
  redraw();
}
function begin() {
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  writeHead();
  writeLegend();
  writeFoot();
  addFaults();
  addMessages();
  addMembers();
  addOwners();
  addTasks();
  addMoment();
  const middle = () => clamp(pinned, view.from, view.until);
  const span = () => view.until - view.from;
  const toStar = () => show(pinned - 5000, pinned + 2000);
  byId("in").onclick = () => zoom(0.5, middle());
  byId("out").onclick = () => zoom(2, middle());
  byId("fit").onclick = () => show(...S.window);
  byId("star").onclick = toStar;
  byId("star").title = S.star ? "to the violation (.)" : "to the moment that is kept (.)";
  addEventListener("resize", redraw);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowLeft: () => show(view.from - span() / 8, view.until - span() / 8),
      ArrowRight: () => show(view.from + span() / 8, view.until + span() / 8),
      "+": () => zoom(0.5, middle()), "=": () => zoom(0.5, middle()), "-": () => zoom(2, middle()),
      0: () => show(...S.window), ".": toStar,
    };
    if (acts[event.key]) { acts[event.key](); event.preventDefault(); }
  });
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("theme")) setTheme(asked.get("theme"));
  if (asked.has("from") && asked.has("to")) show(asked.get("from") * 1000, asked.get("to") * 1000);
  drawAll();
}

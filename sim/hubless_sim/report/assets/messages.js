// The space-time diagram: lanes are machines, slanted lines packets.
const P = S.packets;
const LANES = S.lanes.length;
const laneHeight = clamp(Math.floor(620 / LANES), 13, 58);
const TOP = 20;
const laneY = (lane) => TOP + (lane + 0.5) * laneHeight;
let followed = new Set();

function addMessages() {
  const { run } = S;
  const what = run.isPast ? "The causal past of the violation" : "All that happened in the window";
  addPanel({
    title: "Messages",
    hint: `${what}: ${grouped(String(P.source.length))} packets. Click one to follow it back.`,
    key: keyOfMessages(),
    height: () => TOP + LANES * laneHeight + 8,
    draw: drawMessages,
    hit: (x, y, width) => hitMessage(x, y, width)?.text,
    click: (x, y, width) => { const found = hitMessage(x, y, width); followed = found?.packet >= 0 ? back(found.packet) : new Set(); },
  });
}
function keyOfMessages() {
  const spells = new Set(S.spells.map((spell) => spell[1])), marks = new Set(S.marks.map((mark) => mark[2]));
  return [
    spells.has("down") && ["down", "down"],
    spells.has("blocked") && ["blocked", "paused"],
    spells.has("held") && ["held", "deaf and mute"],
    spells.has("slow") && ["slow", "slow"],
    marks.has("born") && ["good", "▶ process starts"],
    marks.has("gone") && ["star", "❙ process ends"],
    marks.has("note") && ["ink", "● tells something"],
    P.drop.some(Boolean) && ["drop", "✕ dropped"],
  ].filter(Boolean);
}
function back(packet) {
  const found = new Set();
  for (let at = packet; at >= 0 && !found.has(at); at = P.causes[at]) found.add(at);
  return found;
}

function drawMessages(pen, width, height) {
  drawLanes(pen, width);
  pen.save();
  insideTime(pen, width, height);
  drawCuts(pen, width);
  gridLines(pen, width, height);
  drawSpells(pen, width);
  const shown = visiblePackets();
  drawPackets(pen, width, shown);
  drawMarks(pen, width);
  drawNames(pen, width, shown);
  pen.restore();
  drawStars(pen, width);
}
function drawLanes(pen, width) {
  for (let lane = 0; lane < LANES; lane++) {
    const isClient = lane >= S.nodes;
    gutterText(pen, S.lanes[lane], laneY(lane), colour(isClient ? "soft" : "ink"), laneHeight < 16 ? TINY : FONT);
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(GUTTER, laneY(lane));
    pen.lineTo(width - RIGHT, laneY(lane));
    pen.stroke();
  }
}
function drawCuts(pen, width) {
  const everybody = [...Array(LANES).keys()];
  const captions = [];
  for (const [from, until, one, other, how] of S.cuts) {
    const left = place(Math.max(from, view.from), width), right = place(Math.min(until, view.until), width);
    if (right <= GUTTER || left >= width - RIGHT || from > view.until || until < view.from) continue;
    const sides = [new Set(one ?? everybody), new Set(other ?? everybody)];
    pen.globalAlpha = Number(colour("grain"));
    for (let lane = 0; lane < LANES; lane++) {
      const side = sides[0].has(lane) ? "sideA" : sides[1].has(lane) ? "sideB" : null;
      if (!side) continue;
      const y = laneY(lane) - laneHeight / 2;
      if (how === "both") { pen.fillStyle = colour(side); pen.fillRect(left, y, Math.max(1, right - left), laneHeight); }
      else if (sides[0].has(lane)) { pen.globalAlpha = 0.3; hatch(pen, left, y, Math.max(1, right - left), laneHeight, colour("sideA"), 8); }
      pen.globalAlpha = Number(colour("grain"));
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("faint");
    pen.setLineDash([3, 3]);
    pen.beginPath();
    for (const x of [place(from, width), place(until, width)]) { pen.moveTo(x, 12); pen.lineTo(x, TOP + LANES * laneHeight); }
    pen.stroke();
    pen.setLineDash([]);
    captions.push([left, right, { both: "cut", some: "each cut from some" }[how] ?? "cut one way"]);
  }
  pen.font = TINY;
  pen.fillStyle = colour("soft");
  let free = GUTTER;
  for (const [left, right, text] of captions.sort((a, b) => a[0] - b[0])) {
    const needs = pen.measureText(text).width;
    if (left < free || right - left < needs + 8) continue;
    pen.fillText(text, left + 4, 8);
    free = left + needs + 14;
  }
}
function drawSpells(pen, width) {
  for (const [node, condition, from, until] of S.spells) {
    if (condition === "running" || until < view.from || from > view.until) continue;
    const left = Math.max(GUTTER, place(from, width)), right = Math.min(width - RIGHT, place(until, width));
    const tall = Math.min(laneHeight * 0.5, 18), y = laneY(node) - tall / 2, long = Math.max(1.5, right - left);
    pen.fillStyle = colour(condition === "down" ? "page" : condition);
    pen.fillRect(left, y, long, tall);
    if (condition === "down") { pen.globalAlpha = 0.5; hatch(pen, left, y, long, tall, colour("down")); }
    pen.globalAlpha = 1;
  }
}
function visiblePackets() {
  const shown = [];
  for (let n = 0; n < P.source.length; n++) {
    const last = Math.max(P.arrived[n], P.sent[n]);
    if (!hidden.has(P.family[n]) && last >= view.from && P.sent[n] <= view.until) shown.push(n);
  }
  return shown;
}
const familyOf = (n) => S.families[P.family[n]][0];
const isRoutine = (n) => S.families[P.family[n]][1];

// Where a packet is drawn from and to. One that never got under way is a stub that points to its target.
function course(n, width) {
  const x1 = place(P.sent[n], width), y1 = laneY(P.source[n]);
  if (P.arrived[n] >= 0) return [x1, y1, place(P.arrived[n], width), laneY(P.target[n])];
  const y2 = P.target[n] < LANES ? laneY(P.target[n]) : y1;
  const down = clamp(y2 - y1, -laneHeight * 0.8, laneHeight * 0.8);
  return [x1, y1, x1 + Math.min(4, Math.abs(down) * 0.25), y1 + down * 0.8];
}
function drawPackets(pen, width, shown) {
  const density = shown.length / Math.max(1, width - GUTTER);
  const strong = clamp(0.9 / Math.sqrt(1 + density * 1.5), 0.3, 0.9);
  const groups = new Map();
  for (const n of shown) {
    const key = !P.drop[n] ? familyOf(n) : P.reasons[P.drop[n]] === "cut" ? "cut" : "drop";
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(n);
  }
  const order = [...S.families.map(([family]) => family).reverse(), "cut", "drop"];
  const reveal = view.until - view.from < 60 * (width - GUTTER);
  for (const key of order) {
    const members = groups.get(key) || [];
    if (!members.length) continue;
    const isDrop = key === "cut" || key === "drop";
    pen.strokeStyle = pen.fillStyle = colour(isDrop ? "drop" : key);
    const routine = S.families.some(([family, is]) => family === key && is);
    pen.globalAlpha = followed.size ? 0.12 : routine ? strong * 0.75 : strong;
    pen.lineWidth = routine ? 0.8 : 1.2;
    strokeAll(pen, width, members, reveal);
    if (isDrop && !followed.size) pen.globalAlpha = key === "cut" ? strong * 0.55 : clamp(strong + 0.2, 0.5, 1);
    if (isDrop) crossAll(pen, width, members);
  }
  for (const n of followed) {
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeStyle = pen.fillStyle = colour(P.drop[n] ? "drop" : familyOf(n));
    strokeAll(pen, width, [n], true);
  }
  pen.globalAlpha = 1;
}
function strokeAll(pen, width, members, reveal) {
  pen.beginPath();
  for (const n of members) { const [x1, y1, x2, y2] = course(n, width); pen.moveTo(x1, y1); pen.lineTo(x2, y2); }
  pen.stroke();
  pen.beginPath();
  for (const n of members) {
    if (P.drop[n]) continue;
    const [x1, y1, x2, y2] = course(n, width);
    if (reveal || laneHeight > 30) arrow(pen, x1, y1, x2, y2, reveal ? 6 : 4);
  }
  pen.fill();
}
function arrow(pen, x1, y1, x2, y2, size) {
  const long = Math.hypot(x2 - x1, y2 - y1) || 1, ux = (x2 - x1) / long, uy = (y2 - y1) / long;
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - ux * size - uy * size * 0.4, y2 - uy * size + ux * size * 0.4);
  pen.lineTo(x2 - ux * size + uy * size * 0.4, y2 - uy * size - ux * size * 0.4);
}
function crossAll(pen, width, members) {
  const arm = laneHeight > 30 ? 3.5 : 2.5;
  pen.lineWidth = 1.4;
  pen.beginPath();
  for (const n of members) {
    const [, , x, y] = course(n, width);
    pen.moveTo(x - arm, y - arm); pen.lineTo(x + arm, y + arm);
    pen.moveTo(x + arm, y - arm); pen.lineTo(x - arm, y + arm);
  }
  pen.stroke();
}
function drawMarks(pen, width) {
  for (const [at, node, kind] of S.marks) {
    if (at < view.from || at > view.until) continue;
    const x = place(at, width), y = laneY(node), reach = Math.min(7, laneHeight * 0.36);
    if (kind === "born" || kind === "gone") {
      pen.fillStyle = kind === "born" ? colour("good") : colour("star");
      pen.beginPath();
      if (kind === "born") { pen.moveTo(x - reach * 0.6, y - reach); pen.lineTo(x + reach * 0.9, y); pen.lineTo(x - reach * 0.6, y + reach); }
      else pen.rect(x - 1.5, y - reach - 2, 3, 2 * reach + 4);
      pen.fill();
    } else if (kind === "note") {
      pen.fillStyle = colour("ink");
      pen.globalAlpha = laneHeight > 30 ? 0.9 : 0.55;
      pen.beginPath();
      pen.arc(x, y, laneHeight > 30 ? 2.2 : 1.2, 0, 7);
      pen.fill();
      pen.globalAlpha = 1;
    }
  }
}
function drawStars(pen, width) {
  if (!S.star) return;
  const [at, nodes] = S.star;
  if (nodes.length > 12 || at < view.from || at > view.until) return;
  for (const node of nodes) starAt(pen, place(at, width), laneY(node), clamp(laneHeight * 0.34, 6, 13));
}
function starAt(pen, x, y, size) {
  pen.beginPath();
  for (let point = 0; point < 10; point++) {
    const far = point % 2 ? size * 0.45 : size, turn = (point * Math.PI) / 5 - Math.PI / 2;
    pen.lineTo(x + far * Math.cos(turn), y + far * Math.sin(turn));
  }
  pen.closePath();
  pen.lineWidth = 3;
  pen.strokeStyle = colour("page");
  pen.stroke();
  pen.fillStyle = colour("star");
  pen.fill();
}

// Names stand beside packets once there is room for them; no two may touch.
function drawNames(pen, width, shown) {
  const named = followed.size ? shown.filter((n) => followed.has(n)) : shown;
  if (laneHeight < 26 || named.length > 900) return;
  pen.font = SMALL;
  const taken = [];
  const ranked = [...named].sort((a, b) => isRoutine(a) - isRoutine(b) || a - b);
  for (const n of ranked) {
    const [x1, y1, x2, y2] = course(n, width);
    if (Math.abs(x2 - x1) < 24 && named.length > 120) continue;
    const [said, ...more] = P.texts[P.text[n]].split(" · ");
    const text = said.slice(0, 40) + (more.length ? " …" : ""), wide = pen.measureText(text).width;
    const x = clamp(x1 + (x2 - x1) * 0.6 + 6, GUTTER + 2, width - RIGHT - wide - 2), y = y1 + (y2 - y1) * 0.6;
    const box = [x - 3, y - 8, x + wide + 3, y + 8];
    if (taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1])) continue;
    taken.push(box);
    pen.strokeStyle = colour("page");
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeText(text, x, y);
    pen.fillStyle = colour(P.drop[n] ? "drop" : isRoutine(n) ? "soft" : familyOf(n));
    pen.fillText(text, x, y);
    if (taken.length > 80) break;
  }
}

function hitMessage(x, y, width) {
  if (x < GUTTER) return null;
  let best = 7, found = null;
  for (const mark of S.marks) {
    const far = Math.hypot(place(mark[0], width) - x, laneY(mark[1]) - y);
    if (far < best - 1) { best = far; found = { packet: -1, text: markTip(mark, width) }; }
  }
  for (const n of visiblePackets()) {
    const [x1, y1, x2, y2] = course(n, width);
    const dx = x2 - x1, dy = y2 - y1, along = clamp(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1), 0, 1);
    const far = Math.hypot(x1 + along * dx - x, y1 + along * dy - y);
    if (far < best) { best = far; found = { packet: n, text: packetTip(n) }; }
  }
  return found || spellTip(x, y, width);
}
function markTip([at, node], width) {
  const near = S.marks.filter((mark) => mark[1] === node && Math.abs(place(mark[0], width) - place(at, width)) < 3);
  const said = near.slice(0, 8).map((mark) => `<small>${inMs(mark[0], 3)}</small> ${escaped(mark[3])}`);
  if (near.length > 8) said.push(`<small>and ${near.length - 8} more here</small>`);
  return `<b>${escaped(S.lanes[node])}</b><br>${said.join("<br>")}`;
}
function packetTip(n) {
  const name = (lane) => S.lanes[lane] || `n${lane}`;
  const took = P.arrived[n] < 0 ? "" : `, arrived ${inMs(P.arrived[n], 3)} (${inMs(P.arrived[n] - P.sent[n], 3)})`;
  const fate = P.drop[n] ? `<br><b style="color:var(--drop)">✕ ${escaped(P.reasons[P.drop[n]])}</b>` : "";
  const oddly = [P.flags[n] & 1 ? "garbled on the way" : "", P.flags[n] & 2 ? "a second copy" : ""].filter(Boolean).join(", ");
  return `<b>${escaped(name(P.source[n]))} → ${escaped(name(P.target[n]))}</b> ${escaped(P.texts[P.text[n]])}${fate}<br>
    <small>sent ${inMs(P.sent[n], 3)}${took} · number ${P.nth[n]} of its link · ${P.size[n]} bytes${oddly ? " · " + oddly : ""}</small>`;
}
function spellTip(x, y, width) {
  const at = timeAt(x, width), lane = Math.floor((y - TOP) / laneHeight);
  const found = S.spells.find((spell) => spell[0] === lane && spell[1] !== "running" && spell[2] <= at && at <= spell[3]);
  if (!found) return null;
  return { packet: -1, text: `<b>${escaped(S.lanes[lane])}</b> ${found[1]}<br><small>${inMs(found[2])} – ${inMs(found[3])}</small>` };
}

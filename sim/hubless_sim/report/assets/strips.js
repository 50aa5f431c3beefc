// Strips below one another, all over the same time: faults, beliefs, owners and tasks.

// Faults

function addFaults() {
  if (!S.faults.length) return;
  const rows = packedFaults(), shown = rows.flat().length;
  const tall = 20;
  const rowAt = (y) => Math.floor((y - 2) / tall);
  addPanel({
    title: "Faults",
    hint: `${S.faults.length} on the tape` + (shown < S.faults.length ? `, ${shown || "none"} of them in this window` : ""),
    height: () => rows.length * tall + 6,
    draw(pen, width, height) {
      pen.save();
      insideTime(pen, width, height);
      gridLines(pen, width, height);
      rows.forEach((row, number) => row.forEach((fault) => drawFault(pen, width, fault, 2 + number * tall, tall)));
      pen.restore();
    },
    hit(x, y, width) {
      const at = timeAt(x, width), slack = (6 * (view.until - view.from)) / width;
      const near = (rows[rowAt(y)] || []).find(([, , from, until]) => at >= from - slack && at <= until + slack);
      if (!near) return null;
      const until = near[3] > near[2] ? ` – ${inMs(near[3], 0)}` : "";
      return `<b>${escaped(near[1])}</b><br><small>${inMs(near[2], 0)}${until}</small>`;
    },
  });
}
// Faults share a row as long as there is room for their words between them.
function packedFaults() {
  const room = (S.window[1] - S.window[0]) / 1100;
  const rows = [], ends = [];
  for (const fault of S.faults) {
    const [, text, from, until] = fault;
    if (until < S.window[0] || from > S.window[1]) continue;
    const end = Math.max(until, Math.max(from, S.window[0]) + text.length * 6.4 * room) + 16 * room;
    let row = ends.findIndex((free) => free <= from);
    if (row < 0) row = rows.push([]) - 1;
    rows[row].push(fault);
    ends[row] = end;
  }
  return rows;
}
function drawFault(pen, width, [kind, text, from, until], y, tall) {
  if (until < view.from || from > view.until) return;
  const left = Math.max(GUTTER, place(from, width)), right = Math.min(width - RIGHT, place(until, width));
  pen.fillStyle = colour("star");
  pen.font = SMALL;
  if (until > from) {
    pen.globalAlpha = 0.16;
    pen.fillRect(left, y + 2, Math.max(2, right - left), tall - 5);
    pen.globalAlpha = 1;
    pen.fillRect(left, y + 2, 2, tall - 5);
  } else {
    pen.beginPath();
    pen.moveTo(left, y + 3); pen.lineTo(left + 5, y + tall / 2 - 0.5); pen.lineTo(left, y + tall - 4); pen.lineTo(left - 5, y + tall / 2 - 0.5);
    pen.fill();
  }
  const wide = pen.measureText(text).width, start = left + 8;
  pen.fillStyle = colour("ink");
  if (start + wide <= width - RIGHT) pen.fillText(text, start, y + tall / 2);
  else if (until === from) { pen.textAlign = "right"; pen.fillText(text, left - 8, y + tall / 2); pen.textAlign = "left"; }
  else pen.fillText(text, Math.max(GUTTER + 4, width - RIGHT - wide - 4), y + tall / 2);
}

// Beliefs: of each member, what share of the nodes holds it to be in which condition.

const rowTall = (count) => clamp(Math.floor(420 / count), 9, 26);
function addMembers() {
  if (!S.beliefs.length) return;
  const tall = rowTall(S.nodes), changes = countsBySubject();
  addPanel({
    title: "Members",
    hint: "What the nodes hold each member to be: the share of nodes that say so.",
    key: S.conditions.map((name) => [name, name]),
    height: () => S.nodes * tall + 6,
    draw(pen, width, height) {
      for (let node = 0; node < S.nodes; node += Math.ceil(12 / tall)) gutterText(pen, S.lanes[node], 3 + (node + 0.5) * tall, colour("ink"), tall < 14 ? TINY : FONT);
      pen.save();
      insideTime(pen, width, height);
      changes.forEach((list, node) => drawShares(pen, width, list, 3 + node * tall, tall - (tall > 12 ? 3 : 1)));
      pen.restore();
    },
    hit(x, y, width) {
      const node = Math.floor((y - 3) / tall);
      if (x < GUTTER || node < 0 || node >= S.nodes) return null;
      return beliefTip(node, timeAt(x, width));
    },
  });
}
function countsBySubject() {
  const held = Array.from({ length: S.nodes }, () => new Map());
  const changes = Array.from({ length: S.nodes }, () => []);
  for (const [at, observer, subject, condition] of S.beliefs) {
    if (subject >= S.nodes) continue;
    condition < 0 ? held[subject].delete(observer) : held[subject].set(observer, condition);
    const counts = S.conditions.map(() => 0);
    for (const each of held[subject].values()) counts[each]++;
    const list = changes[subject];
    if (list.length && list.at(-1)[0] === at) list.at(-1)[1] = counts;
    else list.push([at, counts]);
  }
  return changes;
}
function drawShares(pen, width, list, y, tall) {
  pen.fillStyle = colour("row");
  pen.fillRect(GUTTER, y, width - GUTTER - RIGHT, tall);
  list.forEach(([from, counts], number) => {
    const until = number + 1 < list.length ? list[number + 1][0] : S.run.end;
    if (until < view.from || from > view.until) return;
    const left = Math.max(GUTTER, place(from, width)), right = Math.min(width - RIGHT, place(until, width));
    let top = y + tall;
    counts.forEach((count, condition) => {
      if (!count) return;
      const share = (count / S.nodes) * tall;
      pen.fillStyle = colour(S.conditions[condition]);
      pen.fillRect(left, top - share, Math.max(0.7, right - left + 0.3), share);
      top -= share;
    });
  });
}
function beliefTip(node, at) {
  const held = beliefsAt(at);
  const by = new Map();
  held.forEach((row, observer) => {
    const condition = row[node];
    if (condition >= 0) by.set(condition, [...(by.get(condition) || []), observer]);
  });
  const lines = [...by].map(([condition, who]) => {
    const names = who.length > 12 ? `${who.length} nodes` : who.map((n) => "n" + n).join(" ");
    return `${S.conditions[condition]} <small>say ${names}</small>`;
  });
  return `<b>${S.lanes[node]}</b> at ${inMs(at, 1)}<br>${lines.join("<br>") || "nobody knows of it"}`;
}
function beliefsAt(at) {
  const held = Array.from({ length: S.nodes }, () => Array(S.nodes).fill(-1));
  for (const [when, observer, subject, condition] of S.beliefs) {
    if (when > at) break;
    if (subject < S.nodes) held[observer][subject] = condition;
  }
  return held;
}

// Owners: who takes himself for the owner of each shard.

function addOwners() {
  if (!S.shards || !S.owners.length) return;
  const tall = clamp(Math.floor(440 / S.shards), 7, 20), spans = ownerSpans();
  addPanel({
    title: "Owners",
    hint: "Which node takes itself for the owner of each shard, and in which term. Grey: nobody. A red edge: more than one.",
    height: () => S.shards * tall + 6,
    draw(pen, width, height) {
      const every = Math.ceil(13 / tall);
      for (let shard = 0; shard < S.shards; shard += every) gutterText(pen, "shard " + shard, 3 + (shard + 0.5) * tall, colour("ink"), tall < 14 ? TINY : FONT);
      pen.save();
      insideTime(pen, width, height);
      pen.fillStyle = colour("row");
      for (let shard = 0; shard < S.shards; shard++) pen.fillRect(GUTTER, 3 + shard * tall, width, tall - 2);
      for (const span of spans) drawOwner(pen, width, span, 3 + span[2] * tall, tall - 2);
      pen.restore();
    },
    hit(x, y, width) {
      const shard = Math.floor((y - 3) / tall), at = timeAt(x, width);
      const span = spans.find((each) => each[2] === shard && each[0] <= at && at < each[1]);
      if (x < GUTTER || shard < 0 || shard >= S.shards) return null;
      const who = span ? span[3].map(([node, term]) => `n${node} in term ${term}`).join(", ") : "nobody";
      return `<b>shard ${shard}</b> ${who}` + (span ? `<br><small>${inMs(span[0])} – ${inMs(span[1])}</small>` : "");
    },
  });
}
function ownerSpans() {
  const open = new Map(), spans = [];
  const close = (shard, at) => { if (open.has(shard)) spans.push([open.get(shard)[0], at, shard, open.get(shard)[1]]); open.delete(shard); };
  for (const [at, shard, owners] of S.owners) { close(shard, at); if (owners.length) open.set(shard, [at, owners]); }
  for (const shard of [...open.keys()]) close(shard, S.run.end);
  return spans;
}
function drawOwner(pen, width, [from, until, , owners], y, tall) {
  if (until < view.from || from > view.until) return;
  const left = Math.max(GUTTER, place(from, width)), right = Math.min(width - RIGHT, place(until, width));
  const long = Math.max(1, right - left);
  owners.forEach(([node], number) => {
    pen.fillStyle = nodeColour(node);
    pen.globalAlpha = 0.82;
    pen.fillRect(left, y + (number * tall) / owners.length, long, tall / owners.length);
    pen.globalAlpha = 1;
  });
  if (owners.length > 1) { pen.strokeStyle = colour("star"); pen.lineWidth = 1.5; pen.strokeRect(left, y, long, tall); }
  else { pen.fillStyle = colour("page"); pen.fillRect(left, y, 1, tall); }
  const [node, term] = owners[0], text = `n${node} · t${term}`;
  pen.font = tall >= 13 ? SMALL : TINY;
  if (owners.length === 1 && tall >= 9 && long > pen.measureText(text).width + 10) {
    pen.fillStyle = "#fff";
    pen.fillText(text, left + 5, y + tall / 2 + 0.5);
  }
}

// Tasks: handed in, accepted, attempted, answered. Requests of bare shards share one row a client.

function addTasks() {
  const tasks = S.tasks.filter((task) => lastOf(task) >= S.window[0] && task[2][0] <= S.window[1]);
  if (!tasks.length) return;
  const isPlain = tasks.every((task) => !task[4].length);
  const lanes = [...new Set(tasks.map((task) => task[1]))].sort((a, b) => a - b);
  const rowOf = (task, number) => (isPlain ? lanes.indexOf(task[1]) : number);
  const count = isPlain ? lanes.length : tasks.length;
  const tall = isPlain ? 20 : clamp(Math.floor(520 / count), 7, 18);
  addPanel({
    title: isPlain ? "Requests" : "Tasks",
    hint: isPlain
      ? "One row a client: a bar is a request, a red end means that it was given up."
      : "A thin line from the first submission to the answer; bars are attempts, in the colour of the node that ran them; │ receipt, ● success, ✕ failure.",
    height: () => count * tall + 6,
    draw(pen, width, height) {
      if (isPlain) lanes.forEach((lane, row) => gutterText(pen, S.lanes[lane], 3 + (row + 0.5) * tall));
      else tasks.forEach((task, row) => tall >= 10 && gutterText(pen, task[0], 3 + (row + 0.5) * tall, colour("ink"), tall < 14 ? TINY : SMALL));
      pen.save();
      insideTime(pen, width, height);
      gridLines(pen, width, height);
      tasks.forEach((task, number) => drawTask(pen, width, task, 3 + rowOf(task, number) * tall, tall, isPlain));
      pen.restore();
    },
    hit(x, y, width) {
      const row = Math.floor((y - 3) / tall), at = timeAt(x, width), slack = (4 * (view.until - view.from)) / width;
      const near = tasks.find((task, number) => rowOf(task, number) === row && (!isPlain || (task[2][0] - slack <= at && at <= lastOf(task) + slack)));
      return near ? taskTip(near) : null;
    },
  });
}
const lastOf = ([, , handed, , attempts, outcomes]) => Math.max(...handed, ...attempts.map((each) => each[3]), ...outcomes.map((each) => each[0]));
function drawTask(pen, width, task, y, tall, isPlain) {
  const [label, , handed, accepted, attempts, outcomes] = task;
  const first = handed[0], last = outcomes.length ? outcomes[0][0] : S.run.end, middle = y + tall / 2;
  if (lastOf(task) < view.from || first > view.until) return;
  const left = place(first, width), right = place(last, width);
  const failed = outcomes.length && outcomes[0][1];
  if (isPlain) {
    pen.fillStyle = colour(failed ? "star" : "client");
    pen.globalAlpha = failed ? 0.35 : 0.45;
    pen.fillRect(left, y + 3, Math.max(1, right - left - 0.5), tall - 6);
    pen.globalAlpha = 1;
    pen.font = TINY;
    pen.fillStyle = colour("ink");
    if (right - left > pen.measureText(label).width + 6) pen.fillText(label, left + 3, middle);
    return;
  }
  pen.strokeStyle = colour("faint");
  pen.lineWidth = 1;
  pen.setLineDash(outcomes.length ? [] : [2, 3]);
  pen.beginPath();
  pen.moveTo(left, middle); pen.lineTo(right, middle);
  pen.stroke();
  pen.setLineDash([]);
  const thick = Math.max(4, tall * 0.55);
  for (const [number, node, from, until] of attempts) {
    const x = place(from, width), long = Math.max(2, place(until, width) - x);
    pen.fillStyle = nodeColour(node);
    pen.fillRect(x, middle - thick / 2, long, thick);
    pen.font = TINY;
    const text = `n${node} #${number}`;
    if (tall >= 12 && long > pen.measureText(text).width + 6) { pen.fillStyle = "#fff"; pen.fillText(text, x + 3, middle + 0.5); }
  }
  pen.fillStyle = colour("client");
  for (const at of handed) pen.fillRect(place(at, width) - 1, middle - 2, 3, 4);
  if (accepted !== null) { pen.fillStyle = colour("ink"); pen.fillRect(place(accepted, width), y + 1, 1.2, tall - 2); }
  for (const [at, code] of outcomes) drawOutcome(pen, place(at, width), middle, code, clamp(tall * 0.24, 2.4, 4));
}
function drawOutcome(pen, x, y, code, size) {
  pen.fillStyle = pen.strokeStyle = colour(code ? "star" : "good");
  pen.beginPath();
  if (code) {
    pen.lineWidth = 1.6;
    pen.moveTo(x - size, y - size); pen.lineTo(x + size, y + size); pen.moveTo(x + size, y - size); pen.lineTo(x - size, y + size);
    pen.stroke();
  } else { pen.arc(x, y, size, 0, 7); pen.fill(); }
}
function taskTip([label, lane, handed, accepted, attempts, outcomes]) {
  const lines = [`<b>${escaped(label)}</b> <small>by ${escaped(S.lanes[lane])}</small>`];
  lines.push(`<small>handed in ${handed.map((at) => inMs(at)).join(", ")}</small>`);
  if (accepted !== null) lines.push(`<small>receipt ${inMs(accepted)}</small>`);
  for (const [number, node, from, until] of attempts.slice(0, 6)) lines.push(`<small>attempt ${number} on n${node}: ${inMs(from)} – ${inMs(until)}</small>`);
  for (const [at, code, provisional] of outcomes) lines.push(`${escaped(code || "succeeded")}${provisional ? ", provisionally" : ""} <small>${inMs(at)}</small>`);
  if (!outcomes.length) lines.push("never answered");
  return lines.join("<br>");
}

// One moment: who believes what of whom, and whose the shards are.
let matrix = null, ring = null;
const RING = 250;

function addMoment() {
  const section = byId("moment");
  if (!S.beliefs.length && !(S.shards && S.owners.length)) { section.hidden = true; return; }
  section.innerHTML = `<h2 id="when"></h2>`;
  if (S.beliefs.length) matrix = figure(section, "Rows are who believes, columns of whom.");
  if (S.shards && S.owners.length) ring = figure(section, "The shards around, each in the colour of its owner.");
  byId("moment").addEventListener("pointerleave", () => showTip(null));
}
function figure(section, caption) {
  const element = document.createElement("figure");
  element.innerHTML = `<figcaption>${escaped(caption)}</figcaption><canvas></canvas>`;
  section.append(element);
  return element.querySelector("canvas");
}
function drawMoment() {
  const at = hovered ?? pinned;
  const when = byId("when");
  if (!when) return;
  when.textContent = `At ${inMs(at, 1)}` + (S.star && at === S.star[0] ? ", the violation" : "");
  if (matrix) drawMatrix(at);
  if (ring) drawRing(at);
}
function drawMatrix(at) {
  const cell = clamp(Math.floor(480 / S.nodes), 9, 30), margin = 42, size = margin + cell * S.nodes + 2;
  matrix.style.width = size + "px";
  const { pen } = prepared(matrix, size);
  const every = Math.ceil(16 / cell);
  pen.font = cell < 14 ? TINY : SMALL;
  pen.fillStyle = colour("soft");
  for (let node = 0; node < S.nodes; node += every) {
    pen.textAlign = "right";
    pen.fillText("n" + node, margin - 6, margin + (node + 0.5) * cell);
    pen.textAlign = "center";
    if (cell >= 22 || node % (every * 2) === 0) pen.fillText("n" + node, margin + (node + 0.5) * cell, margin - 10);
  }
  pen.textAlign = "left";
  beliefsAt(at).forEach((row, observer) => row.forEach((condition, subject) => {
    pen.fillStyle = condition < 0 ? colour("row") : colour(S.conditions[condition]);
    pen.fillRect(margin + subject * cell, margin + observer * cell, cell - 1, cell - 1);
  }));
  matrix.onpointermove = (event) => {
    const box = matrix.getBoundingClientRect();
    const subject = Math.floor((event.clientX - box.left - margin) / cell), observer = Math.floor((event.clientY - box.top - margin) / cell);
    if (subject < 0 || observer < 0 || subject >= S.nodes || observer >= S.nodes) return showTip(null);
    const condition = beliefsAt(hovered ?? pinned)[observer][subject];
    showTip(`<b>n${observer}</b> holds <b>n${subject}</b> to be ${condition < 0 ? "nobody it knows" : S.conditions[condition]}`, event);
  };
}
function ownersAt(at) {
  const found = Array.from({ length: S.shards }, () => []);
  for (const [when, shard, owners] of S.owners) { if (when > at) break; if (shard < S.shards) found[shard] = owners; }
  return found;
}
function drawRing(at) {
  ring.style.width = RING * 2 + 130 + "px";
  const { pen } = prepared(ring, RING * 2);
  const owners = ownersAt(at), turn = (2 * Math.PI) / S.shards, outer = RING - 34, inner = RING - 92;
  const names = S.shards <= 96;
  owners.forEach((list, shard) => {
    const from = shard * turn - Math.PI / 2, gap = Math.min(0.012, turn * 0.1);
    (list.length ? list : [null]).forEach((owner, number, all) => {
      const step = (outer - inner) / all.length;
      pen.beginPath();
      pen.arc(RING, RING, outer - number * step, from + gap, from + turn - gap);
      pen.arc(RING, RING, outer - (number + 1) * step, from + turn - gap, from + gap, true);
      pen.closePath();
      pen.fillStyle = owner ? nodeColour(owner[0]) : colour("line");
      pen.globalAlpha = owner ? 0.85 : 1;
      pen.fill();
      pen.globalAlpha = 1;
      if (list.length > 1) { pen.strokeStyle = colour("star"); pen.lineWidth = 2; pen.stroke(); }
    });
    const middle = from + turn / 2, cos = Math.cos(middle), sin = Math.sin(middle);
    pen.textAlign = "center";
    pen.font = S.shards > 32 ? TINY : SMALL;
    pen.fillStyle = colour("soft");
    if (names) pen.fillText(String(shard), RING + (outer + 13) * cos, RING + (outer + 13) * sin);
    if (list.length === 1 && turn * (inner + outer) / 2 > 24) {
      pen.fillStyle = "#fff";
      pen.fillText("n" + list[0][0], RING + ((inner + outer) / 2) * cos, RING + ((inner + outer) / 2) * sin);
    }
  });
  drawShares_(pen, owners);
}
// How many shards each node owns, the busiest first, in the middle of the ring.
function drawShares_(pen, owners) {
  const count = new Map();
  owners.forEach((list) => list.forEach(([node]) => count.set(node, (count.get(node) || 0) + 1)));
  const ranked = [...count].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 12);
  const nobody = owners.filter((list) => !list.length).length;
  const tall = 19, top = RING - ((ranked.length + (nobody ? 1 : 0)) * tall) / 2 + tall / 2;
  pen.textAlign = "left";
  pen.font = FONT;
  ranked.forEach(([node, shards], number) => {
    const y = top + number * tall;
    pen.fillStyle = nodeColour(node);
    pen.fillRect(RING - 52, y - 5, 10, 10);
    pen.fillStyle = colour("ink");
    pen.fillText(`n${node} owns ${shards}`, RING - 36, y);
  });
  if (nobody) { pen.fillStyle = colour("soft"); pen.fillText(`${nobody} with nobody`, RING - 52, top + ranked.length * tall); }
}

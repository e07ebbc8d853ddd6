const D = JSON.parse($("data").textContent);
const [H, W] = D.shape, N = H * W;
const blobs = {};  // typed arrays by name
let pixel = [H >> 1, W >> 1], region = null, brush = null, maps = [], pigments = [], rgb = null, pins = [], view = {scale: 1, x: 0, y: 0};

const map = name => maps.find(m => m.name === name);
const number = v => Number.isFinite(v) ? (v === 0 ? "0" : Math.abs(v) < 1e-3 ? v.toExponential(2) : v.toPrecision(4)) : "–";

// --- statistics ------------------------------------------------------------------------------------------------------
function select(values, k) {  // puts in order until the k-th is in its place (Hoare, CACM 4, 1961): a sort takes ten times as long
  for (let low = 0, high = values.length - 1; low < high;) {
    const pivot = values[k];
    let i = low, j = high;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (pivot < values[j]) j--;
      if (i <= j) { const v = values[i]; values[i++] = values[j]; values[j--] = v; }
    }
    if (j < k) low = i;
    if (k < i) high = j;
  }
  return values[k];
}
function quantile(values, q) {  // linear between order statistics, as numpy's default; changes their order
  const at = q * (values.length - 1), i = Math.floor(at), low = select(values, i);
  if (at === i) return low;
  let next = Infinity;
  for (let j = i + 1; j < values.length; j++) if (values[j] < next) next = values[j];
  return low + (at - i) * (next - low);
}
function known(values, where) {
  const kept = new Float32Array(where ? where.length : values.length);
  let n = 0;
  if (where) { for (const i of where) if (Number.isFinite(values[i])) kept[n++] = values[i]; }
  else for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) kept[n++] = values[i];
  return kept.subarray(0, n);
}
function statistics(values, where) {
  const found = known(values, where), n = found.length;
  if (!n) return {n, mean: NaN, sd: NaN, p5: NaN, p95: NaN};
  let sum = 0, square = 0;
  for (let i = 0; i < n; i++) sum += found[i];
  for (let i = 0; i < n; i++) { const d = found[i] - sum / n; square += d * d; }
  return {n, mean: sum / n, sd: Math.sqrt(square / n), p5: quantile(found, .05), p95: quantile(found, .95)};
}
function table(element, head, rows) {
  element.replaceChildren();
  for (const [kind, cells] of [["th", head], ...rows.map(r => ["td", r])]) {
    const line = element.insertRow();
    for (const text of cells) { const c = document.createElement(kind); c.textContent = text; line.append(c); }
  }
}

// --- spectra ---------------------------------------------------------------------------------------------------------
function add(to, packed, i) {  // one pixel's measured spectrum
  const n = N, c = packed.coefficients;
  for (let b = 0; b < to.length; b++) {
    let v = packed.mean[b];
    for (let k = 0; k < packed.basis.length; k++) v += packed.basis[k][b] * c[k * n + i];
    to[b] += v;
  }
}
const node = new Int32Array(4), share = new Float64Array(4);
function between(i) {  // sets the four nodes of the table about a pixel's pigments, and the share of each
  const T = D.table, [rows, columns] = T.nodes;
  const at = (value, [low, high], count) => Math.sqrt(Math.min(1, Math.max(0, (value - low) / Math.max(high - low, 1e-12)))) * (count - 1);
  const u = at(pigments[0][i], T.f_mel, rows), v = at(pigments[1][i], T.f_blood, columns);
  const y = Math.min(Math.floor(u), rows - 2), x = Math.min(Math.floor(v), columns - 2), s = u - y, t = v - x;
  node[0] = y * columns + x; node[1] = node[0] + 1; node[2] = node[0] + columns; node[3] = node[2] + 1;
  share[0] = (1 - s) * (1 - t); share[1] = (1 - s) * t; share[2] = s * (1 - t); share[3] = s * t;
}
function addFit(to, i) {
  if (!D.table) return add(to, D.fit, i);
  const i_d = map("i_d").values[i], i_s = map("i_s").values[i], T = D.table, K = T.basis.length;
  if (i_d === 0) { for (let b = 0; b < to.length; b++) to[b] += i_s; return; }
  const coefficients = new Float64Array(K);
  between(i);
  for (let j = 0; j < 4; j++) for (let k = 0; k < K; k++) coefficients[k] += share[j] * T.values[node[j] * K + k];
  for (let b = 0; b < to.length; b++) {
    let v = T.mean[b];
    for (let k = 0; k < K; k++) v += T.basis[k][b] * coefficients[k];
    to[b] += i_d * v + i_s;
  }
}
const fitted = i => D.table ? Number.isFinite(map("i_d").values[i]) : !!(D.fit && D.fit.known[i]);
function mean(of, isKnown, places) {
  const total = new Float64Array(D.wavelengths.length);
  let n = 0;
  for (const i of places) if (isKnown(i)) { of(total, i); n++; }
  return n ? total.map(v => v / n) : null;
}
function disc() {
  const r = Math.max(0, Math.min(50, Math.round(+$("radius").value || 0))), [y, x] = pixel, found = [];
  for (let v = Math.max(0, y - r); v <= Math.min(H - 1, y + r); v++)
    for (let u = Math.max(0, x - r); u <= Math.min(W - 1, x + r); u++)
      if ((v - y) ** 2 + (u - x) ** 2 <= r * r) found.push(v * W + u);
  return found;
}
function curvesAt(places) {
  const M = D.measured, found = [];
  const measured = M ? mean((to, i) => add(to, M, i), i => M.known[i], places) : null, fit = mean(addFit, fitted, places);
  if (measured) found.push(["measured", "var(--measured)", measured]);
  if (fit) found.push(["fit", "var(--fit)", fit]);
  return found;
}
function plot() {
  const svg = $("plot"), nm = D.wavelengths, parts = [];
  const curves = [...pins, ...curvesAt(disc())];
  svg.replaceChildren();
  const escape = t => String(t).replace(/[&<"]/g, c => ({"&": "&amp;", "<": "&lt;", '"': "&quot;"}[c]));
  const words = (x, y, t, anchor = "middle", fill = "var(--text)") =>
    parts.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" style="fill:${fill}">${escape(t)}</text>`);
  const line = (points, colour, width = 2) => parts.push(`<path fill="none" stroke-width="${width}" style="stroke:${colour}" d="M${
    points.map(p => p.map(v => v.toFixed(1)).join(" ")).join("L")}"/>`);
  if (!curves.length) { words(280, 130, "no spectrum at this pixel"); svg.innerHTML = parts.join(""); return; }
  let bottom = 0, top = 1e-6;
  for (const [, , values] of curves) for (const v of values) { bottom = Math.min(bottom, v); top = Math.max(top, v); }
  const X = v => 48 + 500 * (v - nm[0]) / Math.max(nm[nm.length - 1] - nm[0], 1e-9);
  const Y = v => 220 - 200 * (v - bottom) / (top - bottom);
  for (let k = 0; k <= 4; k++) {
    const v = bottom + k * (top - bottom) / 4, w = nm[0] + k * (nm[nm.length - 1] - nm[0]) / 4;
    line([[48, Y(v)], [548, Y(v)]], "var(--line)", 1);
    words(44, Y(v) + 4, v.toFixed(3), "end"); words(X(w), 238, w.toFixed(0));
  }
  words(298, 256, "wavelength [nm]"); words(48, 12, "reflectance [1]", "start");
  curves.forEach(([name, colour, values], k) => {
    line(Array.from(values, (v, b) => [X(nm[b]), Y(v)]), colour, name === "measured" || name === "fit" ? 2 : 1.2);
    words(548, 34 + 15 * k, name, "end", colour);
  });
  svg.innerHTML = parts.join("");
}

// --- pictures --------------------------------------------------------------------------------------------------------
const GAMMA = Uint8ClampedArray.from({length: 4097}, (_, k) => {
  const v = k / 4096;
  return Math.round(255 * (v <= .0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - .055));
});
const shade = v => GAMMA[v <= 0 || v !== v ? 0 : v >= 1 ? 4096 : Math.round(4096 * v)];
const dot = (spectrum, light, c) => spectrum.reduce((sum, v, b) => sum + v * light[b][c], 0);
function tableUnder(light) {  // linear RGB of the skin at each node
  const T = D.table, K = T.basis.length, count = T.nodes[0] * T.nodes[1], found = new Float32Array(4 * count);
  const base = [0, 1, 2].map(c => dot(T.mean, light, c)), parts = T.basis.map(v => [0, 1, 2].map(c => dot(v, light, c)));
  for (let j = 0; j < count; j++) for (let c = 0; c < 3; c++) {
    let v = base[c];
    for (let k = 0; k < K; k++) v += T.values[j * K + k] * parts[k][c];
    found[4 * j + c] = v;
  }
  return found;
}
function pictureUnder(name) {  // linear RGB and, as the fourth, whether it is known
  const light = D.lights[name], found = new Float32Array(4 * N), M = D.measured || (D.table ? null : D.fit);
  const white = [0, 1, 2].map(c => light.reduce((sum, row) => sum + row[c], 0));
  if (M) {
    const base = [0, 1, 2].map(c => dot(M.mean, light, c)), parts = M.basis.map(v => [0, 1, 2].map(c => dot(v, light, c)));
    for (let c = 0; c < 3; c++) for (let i = 0; i < N; i++) found[4 * i + c] = base[c];
    parts.forEach((p, k) => {
      const [r, g, b] = p, from = k * N, C = M.coefficients;
      for (let i = 0, to = 0; i < N; i++, to += 4) {
        const v = C[from + i];
        if (v) { found[to] += v * r; found[to + 1] += v * g; found[to + 2] += v * b; }
      }
    });
    for (let i = 0; i < N; i++) {
      if (M.known[i]) found[4 * i + 3] = 1; else found.fill(0, 4 * i, 4 * i + 3);
    }
    return found;
  }
  const nodes = tableUnder(light), i_d = map("i_d").values, i_s = map("i_s").values;
  for (let i = 0; i < N; i++) {
    if (!Number.isFinite(i_d[i])) continue;
    if (i_d[i] > 0) between(i); else share.fill(0);
    for (let c = 0; c < 3; c++) {
      let v = 0;
      for (let k = 0; k < 4; k++) v += share[k] * nodes[4 * node[k] + c];
      found[4 * i + c] = i_d[i] * v + i_s[i] * white[c];
    }
    found[4 * i + 3] = 1;
  }
  return found;
}
function drawPicture() {
  rgb = pictureUnder($("light").value);
  const image = new ImageData(W, H), out = image.data;
  for (let i = 0; i < 4 * N; i += 4) {
    out[i] = shade(rgb[i]); out[i + 1] = shade(rgb[i + 1]); out[i + 2] = shade(rgb[i + 2]); out[i + 3] = 255;
  }
  layers.picture.base.getContext("2d").putImageData(image, 0, 0);
  edit.load();
}
function drawMap() {
  const values = maps[$("map").value].values, low = +$("low").value, scale = 255 / Math.max(+$("high").value - low, 1e-12);
  const image = new ImageData(W, H), words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < N; i++) {
    const v = values[i];
    if (v === v) { const k = Math.round((v - low) * scale); words[i] = COLOURS[k < 0 ? 0 : k > 255 ? 255 : k]; }
  }
  layers.mapped.base.getContext("2d").putImageData(image, 0, 0);
}
let COLOURS = null;
function ends(m, share) {  // quantiles of a map, as far from either end
  const found = known(m.values);
  return found.length ? [quantile(found, share), quantile(found, 1 - share)] : [0, 1];
}
function range() {
  const [low, high] = ends(maps[$("map").value], .02);
  $("low").value = +low.toPrecision(3); $("high").value = +high.toPrecision(3);
  if (+$("low").value >= +$("high").value) $("high").value = +$("low").value + 1e-6;
}
function fixedRange() {
  const [low, high] = maps[$("map").value].range;
  $("low").value = low; $("high").value = high;
}
function highlight() {  // pixels of a status, or of the histogram's selection
  const wanted = $("layer").value, image = new ImageData(W, H), words = new Uint32Array(image.data.buffer);
  const status = blobs.status, flag = +wanted;
  const mel = map("f_mel").values, blood = map("f_blood").values;
  const painted = region && region.mask;
  let count = 0;
  for (let i = 0; i < N; i++) {
    if (painted && painted[i]) words[i] = 0x9000d7ff;  // ABGR: yellow
    const byStatus = wanted !== "" && (flag === 0 ? status[i] === 0 : (status[i] & flag) !== 0);
    const byBrush = brush && mel[i] >= brush[0] && mel[i] <= brush[2] && blood[i] >= brush[1] && blood[i] <= brush[3];
    if (byBrush) count++;
    if (byStatus || byBrush) words[i] = byStatus ? 0xd0ff00ff : 0xd0ffff00;  // ABGR: magenta, cyan
  }
  for (const name of ["picture", "mapped"]) {
    layers[name].marks.hidden = wanted === "" && !brush && !painted;
    layers[name].marks.getContext("2d").putImageData(image, 0, 0);
  }
  $("brushed").textContent = brush ? `${count} pixels selected` : "drag a rectangle: its pixels are shown in the pictures";
}
function overlay() {  // drawn as lines, not pixels: little is painted anew when the cursor moves
  const [y, x] = pixel, r = Math.max(6 * Math.max(1, W / 400) / view.scale, +$("radius").value || 0);
  for (const name of ["picture", "mapped"]) {
    const {cursor, outline} = layers[name];
    for (const circle of cursor) { circle.setAttribute("cx", x + .5); circle.setAttribute("cy", y + .5); circle.setAttribute("r", r); }
    const points = region ? region.outline.map(([v, u]) => `${u},${v}`).join(" ") : "";
    for (const polygon of outline) polygon.setAttribute("points", points);
  }
}

// --- regions ---------------------------------------------------------------------------------------------------------
function inside(outline) {  // centres of pixels within a polygon, by the even-odd rule, row by row
  const found = [], rows = outline.map(p => p[0]);
  for (let y = Math.max(0, Math.floor(Math.min(...rows))); y < Math.min(H, Math.ceil(Math.max(...rows))); y++) {
    const at = y + .5, cuts = [];
    outline.forEach(([v, u], k) => {
      const [w, t] = outline[(k + 1) % outline.length];
      if ((v > at) !== (w > at)) cuts.push(u + (at - v) / (w - v) * (t - u));
    });
    cuts.sort((a, b) => a - b);
    for (let k = 0; k + 1 < cuts.length; k += 2)
      for (let x = Math.max(0, Math.ceil(cuts[k] - .5)); x < Math.min(W, cuts[k + 1] - .5 + 1e-9); x++) found.push(y * W + x);
  }
  return Uint32Array.from(found);
}
function setRegion(outline, words) {
  const painted = region && region.mask;
  region = outline ? {outline, words, places: inside(outline)} : null;
  $("site").value = "";
  if (painted) highlight();
  showRegion(); overlay(); drawHistogram();
}
function setMask(mask, words) {  // a region that is no polygon: painted, or a named site
  const places = [];
  for (let i = 0; i < N; i++) if (mask[i]) places.push(i);
  region = places.length ? {outline: [], words: words(places.length), mask, places: Uint32Array.from(places)} : null;
  highlight(); showRegion(); overlay(); drawHistogram();
}
const brushRadius = () => Math.max(0, Math.min(500, +$("size").value || 0));
function paint([y, x], by) {  // pixels whose centre lies within the radius of a place; a click paints one at least
  const mask = region && region.painted ? region.mask : new Uint8Array(N), r = Math.max(brushRadius(), .71);
  if (!(region && region.painted)) region = {outline: [], words: "brush", mask, places: [], painted: true};
  for (let v = Math.max(0, Math.floor(y - r)); v <= Math.min(H - 1, y + r); v++)
    for (let u = Math.max(0, Math.floor(x - r)); u <= Math.min(W - 1, x + r); u++)
      if ((v + .5 - y) ** 2 + (u + .5 - x) ** 2 <= r * r) mask[v * W + u] = by;
  for (const name of ["picture", "mapped"]) {  // seen at once; drawn anew when the stroke ends
    const marks = layers[name].marks, c = marks.getContext("2d");
    marks.hidden = false;
    c.globalCompositeOperation = by ? "source-over" : "destination-out";
    c.fillStyle = "#ffd70090"; c.beginPath(); c.arc(x, y, r, 0, 7); c.fill();
    c.globalCompositeOperation = "source-over";
  }
}
function endPaint() {
  setMask(region.mask, n => `brush, ${n} pixels`);
  if (region) region.painted = true;
}
function chooseSite() {
  const k = +$("site").value;
  if (!k) { setRegion(null); return; }
  const mask = new Uint8Array(N);
  for (let i = 0; i < N; i++) mask[i] = blobs.sites[i] === k ? 1 : 0;
  setMask(mask, n => `${D.sites[k - 1].replaceAll("_", " ")}, ${n} pixels`);
}
function siteCsv() {
  const lines = ["site,map,mean,sd,n,p5,p95"];
  D.sites.forEach((site, k) => {
    const places = [];
    for (let i = 0; i < N; i++) if (blobs.sites[i] === k + 1) places.push(i);
    for (const m of maps) {
      const s = statistics(m.values, places);
      lines.push([site, m.name, s.mean, s.sd, s.n, s.p5, s.p95].join(","));
    }
  });
  save(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}), "sites.csv");
}
function rows() {
  return maps.map(m => {
    const s = region ? statistics(m.values, region.places) : (m.all ??= statistics(m.values));
    return [m.name, s.mean, s.sd, s.n, s.p5, s.p95];
  });
}
function showRegion() {
  $("box").textContent = region ? region.words : "drag in a picture; until then all of it";
  table($("region"), ["map", "mean", "sd", "n", "5 %", "95 %"], rows().map(r => [r[0], number(r[1]), number(r[2]), r[3], number(r[4]), number(r[5])]));
}
function save(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob); a.download = name; a.click(); setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
function csv() {
  const ends = region && !region.mask ? region.outline.map(p => p.map(v => +v.toFixed(2)).join(":")).join(" ") : "";
  const lines = ["map,mean,sd,n,p5,p95,outline_y:x", ...rows().map(r => [...r, ends].join(","))];
  save(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}), "region.csv");
}

// --- histogram -------------------------------------------------------------------------------------------------------
const BINS = 128;
let span = null;  // f_mel low, f_blood low, f_mel high, f_blood high
function counts(places) {
  const mel = map("f_mel").values, blood = map("f_blood").values, found = new Float32Array(BINS * BINS);
  const one = i => {
    const u = Math.floor((mel[i] - span[0]) / (span[2] - span[0]) * BINS), v = Math.floor((blood[i] - span[1]) / (span[3] - span[1]) * BINS);
    if (u >= 0 && u < BINS && v >= 0 && v < BINS) found[(BINS - 1 - v) * BINS + u]++;
  };
  if (places) for (const i of places) one(i); else for (let i = 0; i < N; i++) one(i);
  return found;
}
let allCounts = null;
function drawHistogram() {
  if (!span) {
    const [a, b] = ends(map("f_mel"), .002), [c, d] = ends(map("f_blood"), .002);
    span = [a, c, b + 1e-6 + .01 * (b - a), d + 1e-6 + .01 * (d - c)];
    $("axes").textContent = `right: melanin ${number(span[0])} to ${number(span[2])}; up: haemoglobin ${number(span[1])} to ${number(span[3])}`;
  }
  allCounts ??= counts(null);
  const own = region ? counts(region.places) : null, image = new ImageData(BINS, BINS), words = new Uint32Array(image.data.buffer);
  const most = Math.log1p(allCounts.reduce((a, b) => Math.max(a, b), 0));
  for (let k = 0; k < words.length; k++) {
    if (own && own[k]) words[k] = 0xff005ed5;  // ABGR of the colour of fits
    else if (allCounts[k]) words[k] = COLOURS[Math.round(40 + 215 * Math.log1p(allCounts[k]) / most)];
  }
  const c = $("histogram").getContext("2d");
  c.putImageData(image, 0, 0);
  if (brush) {
    const X = v => (v - span[0]) / (span[2] - span[0]) * BINS, Y = v => BINS * (1 - (v - span[1]) / (span[3] - span[1]));
    c.strokeStyle = "#0ff"; c.lineWidth = 1; c.strokeRect(X(brush[0]), Y(brush[3]), X(brush[2]) - X(brush[0]), Y(brush[1]) - Y(brush[3]));
  }
}
function listenToHistogram() {
  const canvas = $("histogram");
  let from = null;
  const where = e => { const r = canvas.getBoundingClientRect(); return [(e.clientX - r.left) / r.width, 1 - (e.clientY - r.top) / r.height]; };
  const value = ([u, v]) => [span[0] + u * (span[2] - span[0]), span[1] + v * (span[3] - span[1])];
  canvas.onpointerdown = e => { from = where(e); canvas.setPointerCapture(e.pointerId); };
  canvas.onpointerup = e => {
    const a = value(from), b = value(where(e));
    brush = Math.hypot(where(e)[0] - from[0], where(e)[1] - from[1]) < .01 ? null
      : [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    from = null; highlight(); drawHistogram();
  };
  canvas.onkeydown = e => { if (e.key === "Escape") { brush = null; highlight(); drawHistogram(); } };
}

// --- edit: skin of other pigments, in a shader -----------------------------------------------------------------------
// It draws what is seen, a fragment a pixel of the screen or of the picture, whichever are fewer. Where a processor draws
// it, interpolated look-ups and powers cost most: skin is looked up in a finer table, without interpolation. A slider that
// is dragged draws every second row and column where a frame would take more than 50 ms; all of them when it is let go.
const edit = {
  fine: [512, 256], step: 1, last: 0,
  gl: null, textures: [],
  start() {
    const canvas = this.canvas = document.createElement("canvas"), gl = D.table ? canvas.getContext("webgl2", {antialias: false, depth: false, alpha: false}) : null;
    if (!gl || W > gl.getParameter(gl.MAX_TEXTURE_SIZE) || H > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
      $("unable").hidden = false; $("edited").hidden = true;
      for (const e of $("edit").querySelectorAll("input, button")) e.disabled = true;
      return;
    }
    this.gl = gl;
    shape($("edited")).append(canvas);
    const program = gl.createProgram(), T = D.table;
    const sources = [[gl.VERTEX_SHADER, `#version 300 es
      void main() { vec2 p = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0; gl_Position = vec4(p, 0, 1); }`],
    [gl.FRAGMENT_SHADER, `#version 300 es
      precision highp float;
      uniform highp sampler2D maps, rest, skin;  // f_mel, f_blood in units of their range, i_d, i_s; measured less fitted
      uniform vec4 by, view;  // factors of melanin, haemoglobin, gloss, light; place of the corner, and step to the next
      uniform vec3 white;
      uniform vec2 low;
      uniform float wipe;
      out vec4 colour;
      void main() {
        ivec2 place = ivec2(view.xy + view.zw * gl_FragCoord.xy);
        vec4 m = texelFetch(maps, place, 0), left = texelFetch(rest, place, 0), k = float(place.x) >= wipe ? by : vec4(1);
        vec2 node = sqrt(clamp(m.xy * k.xy - low, 0.0, 1.0)) * vec2(${this.fine[0] - 1}.0, ${this.fine[1] - 1}.0) + 0.5;
        vec3 rgb = left.rgb + m.z * texelFetch(skin, ivec2(node.yx), 0).rgb + m.w * k.z * white;
        rgb = clamp(rgb * mix(1.0, k.w, left.a), 0.0, 1.0);  // what was not fitted stays as it is
        // IEC 61966-2-1, its power by square roots: within a tenth of one level of 255
        vec3 root = sqrt(rgb), bent = 0.83374913 * root + 0.29811468 * sqrt(root) - 0.05531868 * rgb - 0.07690556;
        colour = vec4(mix(12.92 * rgb, bent, step(0.0031308, rgb)), 1);
      }`]];
    for (const [kind, source] of sources) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source); gl.compileShader(shader); gl.attachShader(program, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw Error(gl.getShaderInfoLog(shader));
    }
    gl.linkProgram(program); gl.useProgram(program);
    this.at = Object.fromEntries(["maps", "rest", "skin", "by", "view", "white", "low", "wipe"].map(name => [name, gl.getUniformLocation(program, name)]));
    ["maps", "rest", "skin"].forEach((name, unit) => gl.uniform1i(this.at[name], unit));
    const packed = new Float32Array(4 * N), found = map("i_d").values;
    const ranges = [T.f_mel, T.f_blood].map(([low, high]) => Math.max(high - low, 1e-12));
    gl.uniform2f(this.at.low, T.f_mel[0] / ranges[0], T.f_blood[0] / ranges[1]);
    ["f_mel", "f_blood", "i_d", "i_s"].forEach((name, c) => {
      const v = map(name).values, unit = 1 / (ranges[c] ?? 1);
      for (let i = 0; i < N; i++) packed[4 * i + c] = found[i] === found[i] ? v[i] * unit : 0;
    });
    this.texture(0, packed, W, H);
    for (const id of ["e_mel", "e_blood", "e_gloss", "e_light", "wipe"]) { $(id).oninput = () => this.drag(); $(id).onchange = () => this.draw(); }
    $("reset").onclick = () => { for (const id of ["e_mel", "e_blood", "e_gloss", "e_light"]) $(id).value = 1; $("wipe").value = 0; this.draw(); };
    $("png").onclick = () => { this.draw(true); canvas.toBlob(blob => save(blob, "edited.png")); this.draw(); };
    new ResizeObserver(() => this.draw()).observe($("edited"));
  },
  texture(unit, values, width, height) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    if (this.textures[unit]) gl.deleteTexture(this.textures[unit]);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[unit] = gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, values);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  },
  finer(nodes) {  // the table between its nodes: neighbours differ by less than half a level of 255
    const [rows, columns] = D.table.nodes, [most, broad] = this.fine, found = new Float32Array(4 * most * broad);
    for (let j = 0, to = 0; j < most; j++) for (let k = 0; k < broad; k++, to += 4) {
      const u = j / (most - 1) * (rows - 1), v = k / (broad - 1) * (columns - 1);
      const y = Math.min(Math.floor(u), rows - 2), x = Math.min(Math.floor(v), columns - 2), s = u - y, t = v - x, at = 4 * (y * columns + x);
      for (let c = 0; c < 3; c++)
        found[to + c] = (1 - s) * ((1 - t) * nodes[at + c] + t * nodes[at + 4 + c])
          + s * ((1 - t) * nodes[at + 4 * columns + c] + t * nodes[at + 4 * columns + 4 + c]);
    }
    return found;
  },
  load() {  // under another light: the table, and what the fit leaves over of the picture
    if (!this.gl) return;
    const light = D.lights[$("light").value], white = [0, 1, 2].map(c => light.reduce((sum, row) => sum + row[c], 0));
    const nodes = tableUnder(light), rest = new Float32Array(4 * N), i_d = map("i_d").values, i_s = map("i_s").values;
    for (let i = 0, to = 0; i < N; i++, to += 4) {
      for (let c = 0; c < 3; c++) rest[to + c] = rgb[to + c];
      if (i_d[i] !== i_d[i]) continue;
      rest[to + 3] = 1;
      if (i_d[i] > 0) {
        between(i);
        for (let k = 0; k < 4; k++) {
          const w = i_d[i] * share[k], from = 4 * node[k];
          rest[to] -= w * nodes[from]; rest[to + 1] -= w * nodes[from + 1]; rest[to + 2] -= w * nodes[from + 2];
        }
      }
      for (let c = 0; c < 3; c++) rest[to + c] -= i_s[i] * white[c];
    }
    this.texture(1, rest, W, H);
    this.texture(2, this.finer(nodes), this.fine[1], this.fine[0]);
    this.gl.uniform3f(this.at.white, ...white);
    this.draw();
  },
  drag() {
    const now = performance.now(), gap = now - this.last, step = gap > 500 ? 1 : gap > 50 ? 2 : this.step;
    this.draw(false, step);
    this.step = step; this.last = now;
  },
  draw(whole = false, step = 1) {  // what is seen, or all of the picture, pixel by pixel
    const {gl, canvas} = this, value = id => +$(id).value;
    if (!gl) return;
    const box = $("edited").getBoundingClientRect(), dense = devicePixelRatio || 1, {scale, x, y} = whole ? {scale: 1, x: 0, y: 0} : view;
    const width = whole ? W : Math.max(1, Math.floor(Math.min(W, Math.round(box.width * dense)) / step));
    const height = whole ? H : Math.max(1, Math.floor(Math.min(H, Math.round(box.height * dense)) / step));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height);
    gl.uniform4f(this.at.view, -x / scale * W, (1 - y) / scale * H, W / (scale * width), -H / (scale * height));
    gl.uniform4f(this.at.by, value("e_mel"), value("e_blood"), value("e_gloss"), value("e_light"));
    gl.uniform1f(this.at.wipe, value("wipe") * W);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  },
};

// --- cursor, zoom and keys -------------------------------------------------------------------------------------------
const layers = {};
function shape(stack) {
  stack.style.aspectRatio = `${W} / ${H}`;
  stack.style.width = `min(100%, ${(62 * W / H).toFixed(2)}vh)`;
  return stack;
}
function stackOf(name) {
  const inner = document.createElement("div"), found = {inner};
  inner.className = "layers"; shape($(name)).append(inner);
  for (const layer of ["base", "marks"]) {
    const canvas = found[layer] = document.createElement("canvas");
    canvas.width = W; canvas.height = H; inner.append(canvas);
  }
  found.marks.hidden = true;
  const create = (kind, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const svg = create("svg", {viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none"}, inner);
  const line = (stroke, width) => ({fill: "none", stroke, "stroke-width": width, "vector-effect": "non-scaling-stroke"});
  const both = kind => [["#000", 4], ["#fff", 1.5]].map(([stroke, width]) => create(kind, line(stroke, width), svg));
  found.outline = both("polygon"); found.cursor = both("circle");
  return found;
}
function zoom(by, y, x) {  // about a place of the picture, 0 to 1 in what is seen
  const scale = Math.min(40, Math.max(1, view.scale * by)), k = scale / view.scale;
  view = {scale, x: Math.min(0, Math.max(1 - scale, x - (x - view.x) * k)), y: Math.min(0, Math.max(1 - scale, y - (y - view.y) * k))};
  place();
}
function place() {
  for (const inner of document.querySelectorAll(".layers"))
    inner.style.transform = `translate(${100 * view.x}%, ${100 * view.y}%) scale(${view.scale})`;
  overlay(); edit.draw();
}
function showPixel() {
  const [y, x] = pixel, i = y * W + x;
  $("place").textContent = `y ${y}, x ${x}`;
  $("status").textContent = D.meanings[blobs.status[i]];
  table($("numbers"), maps.map(m => m.name), [maps.map(m => number(m.values[i]))]);
  plot(); overlay();
}
function listen(name) {
  const stack = $(name), canvas = layers[name].base;
  let from = null, start = null, trace = null, moved = false;
  const exact = e => {
    const r = canvas.getBoundingClientRect();
    return [(e.clientY - r.top) / r.height * H, (e.clientX - r.left) / r.width * W];
  };
  const whole = ([y, x]) => [Math.max(0, Math.min(H - 1, Math.floor(y))), Math.max(0, Math.min(W - 1, Math.floor(x)))];
  stack.onpointerdown = e => {
    from = exact(e); trace = [from]; moved = false;
    if ($("tool").value === "brush") { $("site").value = ""; paint(from, e.shiftKey ? 0 : 1); }
    start = {...view, left: e.clientX, top: e.clientY};
    stack.setPointerCapture(e.pointerId);
  };
  stack.onpointermove = e => {
    if (!from) return;
    const tool = $("tool").value, to = exact(e);
    if (tool === "brush") {  // a stroke from place to place, however fast the pointer is
      const step = Math.max(.5, brushRadius() / 2), last = trace[trace.length - 1];
      const count = Math.max(1, Math.ceil(Math.hypot(to[0] - last[0], to[1] - last[1]) / step));
      for (let k = 1; k <= count; k++)
        paint([last[0] + (to[0] - last[0]) * k / count, last[1] + (to[1] - last[1]) * k / count], e.shiftKey ? 0 : 1);
      trace = [to];
      return;
    }
    if (!moved && Math.hypot(e.clientX - start.left, e.clientY - start.top) < 4) return;
    moved = true;
    if (tool === "move") {
      const r = stack.getBoundingClientRect();
      view = {...start, x: Math.min(0, Math.max(1 - view.scale, start.x + (e.clientX - start.left) / r.width)),
              y: Math.min(0, Math.max(1 - view.scale, start.y + (e.clientY - start.top) / r.height))};
      place();
      return;
    }
    trace.push(to);
    const [a, b] = [whole(from), whole(to)];
    const y0 = Math.min(a[0], b[0]), y1 = Math.max(a[0], b[0]) + 1, x0 = Math.min(a[1], b[1]), x1 = Math.max(a[1], b[1]) + 1;
    region = tool === "rectangle"
      ? {outline: [[y0, x0], [y0, x1], [y1, x1], [y1, x0]], words: `rows ${y0}:${y1}, columns ${x0}:${x1}`, places: []}
      : {outline: trace, words: "lasso", places: []};
    overlay();
  };
  stack.onpointerup = e => {
    if (!from) return;
    if ($("tool").value === "brush") endPaint();
    else if (!moved) { pixel = whole(exact(e)); showPixel(); }
    else if ($("tool").value !== "move") setRegion(region.outline, region.words);
    from = null;
  };
  stack.onwheel = e => {
    e.preventDefault();
    const r = stack.getBoundingClientRect();
    zoom(e.deltaY < 0 ? 1.25 : .8, (e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width);
  };
  stack.onkeydown = e => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[e.key];
    if (e.key === "Escape") setRegion(null);
    if (e.key === "+" || e.key === "-") zoom(e.key === "+" ? 1.25 : .8, .5, .5);
    if (!step) return;
    e.preventDefault();
    const by = e.shiftKey ? 10 : 1;
    pixel = [Math.max(0, Math.min(H - 1, pixel[0] + by * step[0])), Math.max(0, Math.min(W - 1, pixel[1] + by * step[1]))];
    showPixel();
  };
}

async function start() {
  document.title = D.title; $("title").textContent = D.title;
  await Promise.all([...document.querySelectorAll("script[data-type]")].map(async e => { blobs[e.id.slice(2)] = await unpack(e); }));
  maps = D.maps.map(m => ({...m, values: blobs[m.name]}));
  pigments = ["f_mel", "f_blood"].map(name => map(name).values);
  for (const key of ["measured", "fit"]) if (D[key]) Object.assign(D[key], {coefficients: blobs[`${key}.coefficients`], known: blobs[`${key}.known`]});
  if (D.table) D.table.values = blobs.table;
  COLOURS = Uint32Array.from(D.colours, ([r, g, b]) => (0xff000000 | b << 16 | g << 8 | r) >>> 0);
  for (const name of Object.keys(D.lights)) $("light").add(new Option(name, name));
  maps.forEach((m, k) => $("map").add(new Option(m.label, k)));
  for (const [value, words] of Object.entries(D.layers)) $("layer").add(new Option(words, value));
  $("bar").style.background = `linear-gradient(to right, ${[0, 64, 128, 192, 255].map(k => `rgb(${D.colours[k]})`)})`;
  $("error").textContent = D.errors;
  if (D.sites) {
    D.sites.forEach((site, k) => $("site").add(new Option(site.replaceAll("_", " "), k + 1)));
    for (const id of ["sites", "sitecsv"]) $(id).hidden = false;
  }
  for (const name of ["picture", "mapped"]) { layers[name] = stackOf(name); listen(name); }
  listenToHistogram();
  $("light").onchange = drawPicture;
  $("map").onchange = $("auto").onclick = () => { range(); drawMap(); };
  $("fixed").onclick = () => { fixedRange(); drawMap(); };
  $("low").onchange = $("high").onchange = drawMap;
  $("layer").onchange = highlight;
  $("radius").onchange = showPixel;
  $("pin").onclick = () => {
    const grey = ["#7a7a7a", "#009e73", "#cc79a7", "#b58900", "#6a5acd"][pins.length % 5];
    pins.push(...curvesAt(disc()).slice(0, 1).map(([, , v]) => [`y ${pixel[0]}, x ${pixel[1]}`, grey, v])); plot();
  };
  $("unpin").onclick = () => { pins = []; plot(); };
  $("csv").onclick = csv; $("sitecsv").onclick = siteCsv; $("site").onchange = chooseSite;
  $("tool").onchange = () => { $("sizes").hidden = $("tool").value !== "brush"; };
  $("closer").onclick = () => zoom(1.5, .5, .5); $("farther").onclick = () => zoom(1 / 1.5, .5, .5); $("whole").onclick = () => zoom(0, 0, 0);
  range(); drawPicture(); drawMap(); showPixel();
  $("summary").textContent = `${D.model}: ${D.summary}`;
  document.body.dataset.ready = "yes";
  // what is seen first is drawn first: shaders take longer to compile than all of it
  setTimeout(() => {
    showRegion(); drawHistogram(); edit.start(); edit.load();
    document.body.dataset.complete = "yes"; performance.mark("complete");
  }, 0);
}
start().catch(e => { $("summary").textContent = `This browser cannot show the page: ${e.message}`; throw e; });

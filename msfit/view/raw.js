const D = JSON.parse($("data").textContent), [H, W] = D.shape, N = H * W;
let bad = null, frame = null, ends = [H >> 1, (H >> 1) + 1, W >> 1, (W >> 1) + 1];  // rows from, to; columns from, to

function patchMean() {  // of a linear model the mean of spectra is the spectrum of mean coefficients
  const M = D.measured, [y0, y1, x0, x1] = ends, sums = new Float64Array(M.basis.length);
  let n = 0, clipped = 0;
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) {
    const i = y * W + x;
    if (bad[i]) clipped++;
    if (!M.known[i]) continue;
    n++;
    for (let k = 0; k < sums.length; k++) sums[k] += M.coefficients[k * N + i];
  }
  const mean = D.wavelengths.map((_, b) => M.mean[b] + M.basis.reduce((v, row, k) => v + row[b] * sums[k] / n, 0));
  return {n, clipped: clipped / ((y1 - y0) * (x1 - x0)), mean: n ? mean : null};
}
const short = v => v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(2) : +v.toPrecision(3) + "";
function plot(mean) {
  const svg = $("plot"), nm = D.wavelengths, parts = [];
  if (mean) {
    const low = Math.min(0, ...mean), high = Math.max(...mean, low + 1e-9);
    const X = v => 60 + 480 * (v - nm[0]) / Math.max(nm[nm.length - 1] - nm[0], 1e-9), Y = v => 215 - 195 * (v - low) / (high - low);
    for (const t of [0, .25, .5, .75, 1]) {
      const v = low + t * (high - low), u = nm[0] + t * (nm[nm.length - 1] - nm[0]);
      parts.push(`<path d="M60 ${Y(v)}H540" style="stroke:var(--line)"/><text x="54" y="${Y(v) + 4}" text-anchor="end">${short(v)}</text>`,
        `<text x="${X(u)}" y="233" text-anchor="middle">${Math.round(u)}</text>`);
    }
    parts.push(`<path fill="none" stroke-width="2" style="stroke:var(--measured)" d="M${mean.map((v, b) => `${X(nm[b]).toFixed(1)} ${Y(v).toFixed(1)}`).join("L")}"/>`,
      `<text x="300" y="252" text-anchor="middle">wavelength [nm]</text><text x="60" y="12">${D.raw ? "counts" : "reflectance [1]"}</text>`);
  } else parts.push('<text x="280" y="130" text-anchor="middle">no spectrum here</text>');
  svg.innerHTML = parts.join("");
}
function show() {
  const [y0, y1, x0, x1] = ends, {n, clipped, mean} = patchMean();
  ["y0", "y1", "x0", "x1"].forEach((id, k) => { $(id).value = ends[k]; });
  $("words").textContent = `--white ${y0}:${y1},${x0}:${x1}`;
  const share = `${(100 * clipped).toPrecision(2)} % of its pixels are saturated or lack a band`;
  $("advice").textContent = `${(y1 - y0) * (x1 - x0)} pixels. ` + (clipped > 0 ? `${share}: choose a patch that is not.` : "None is saturated.");
  for (const r of frame) for (const [key, v] of [["x", x0], ["y", y0], ["width", x1 - x0], ["height", y1 - y0]]) r.setAttribute(key, v);
  plot(mean);
}
function set(y0, y1, x0, x1) {
  const clamp = (a, b, most) => { a = Math.max(0, Math.min(most - 1, Math.floor(a))); return [a, Math.max(a + 1, Math.min(most, Math.ceil(b)))]; };
  ends = [...clamp(y0, y1, H), ...clamp(x0, x1, W)];
  show();
}
async function start() {
  document.title = D.title; $("title").textContent = D.title;
  const blobs = {};
  await Promise.all([...document.querySelectorAll("script[data-type]")].map(async e => { blobs[e.id.slice(2)] = await unpack(e); }));
  Object.assign(D.measured, {coefficients: blobs["measured.coefficients"], known: blobs["measured.known"]});
  bad = blobs.bad;
  const stack = $("picture"), inner = document.createElement("div"), image = new Image();
  stack.style.aspectRatio = `${W} / ${H}`; stack.style.width = `min(100%, ${(62 * W / H).toFixed(2)}vh)`;
  inner.className = "layers"; image.src = `data:image/png;base64,${D.picture}`; image.alt = ""; image.draggable = false;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`); svg.setAttribute("preserveAspectRatio", "none");
  frame = [["#000", 4], ["#fff", 1.5]].map(([stroke, width]) => {
    const r = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, v] of Object.entries({fill: "none", stroke, "stroke-width": width, "vector-effect": "non-scaling-stroke"})) r.setAttribute(key, v);
    svg.append(r);
    return r;
  });
  inner.append(image, svg); stack.append(inner);
  let from = null;
  const at = e => { const r = inner.getBoundingClientRect(); return [(e.clientY - r.top) / r.height * H, (e.clientX - r.left) / r.width * W]; };
  stack.onpointerdown = e => { from = at(e); stack.setPointerCapture(e.pointerId); };
  stack.onpointermove = e => {
    if (!from) return;
    const to = at(e);
    set(Math.min(from[0], to[0]), Math.max(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[1], to[1]));
  };
  stack.onpointerup = e => { stack.onpointermove(e); from = null; };
  stack.onkeydown = e => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[e.key];
    if (!step) return;
    e.preventDefault();
    const by = e.shiftKey ? 10 : 1, [y0, y1, x0, x1] = ends;
    const dy = Math.max(-y0, Math.min(H - y1, by * step[0])), dx = Math.max(-x0, Math.min(W - x1, by * step[1]));
    set(y0 + dy, y1 + dy, x0 + dx, x1 + dx);
  };
  for (const id of ["y0", "y1", "x0", "x1"]) $(id).onchange = () => set(+$("y0").value, +$("y1").value, +$("x0").value, +$("x1").value);
  $("copy").onclick = () => navigator.clipboard.writeText($("words").textContent).then(() => { $("copy").textContent = "Copied"; }, () => {});
  $("error").textContent = D.errors;
  const side = Math.max(1, Math.round(Math.min(H, W) / 16));
  set((H - side) / 2, (H + side) / 2, (W - side) / 2, (W + side) / 2);
  const nm = D.wavelengths;
  $("summary").textContent = `${H} x ${W} pixels, ${nm.length} bands, ${nm[0]} to ${nm[nm.length - 1]} nm: ` + (D.raw
    ? "counts without a white reference. Mark a white patch, then msfit fit FILE with the words below." : "reflectance, not fitted yet.");
  document.body.dataset.ready = document.body.dataset.complete = "yes";
}
start().catch(e => { $("summary").textContent = `This browser cannot show the page: ${e.message}`; throw e; });

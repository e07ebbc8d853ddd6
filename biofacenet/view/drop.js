"use strict";
const $ = id => document.getElementById(id), {largest: LARGEST, largest_scene: LARGEST_SCENE, products: PRODUCTS} = JSON.parse($("data").textContent);
let file = null, job = null, box = null, scene = false;
const show = (on, ...ids) => { for (const id of ids) $(id).hidden = !on; };
function say(text) { $("state").textContent = text; }
function choose(chosen) {
  if (!chosen || job) return;
  box = null; show(false, "box");
  const photograph = chosen.type.startsWith("image/"), most = photograph ? LARGEST : LARGEST_SCENE;
  if (chosen.size > most) { say(`${chosen.name}: ${(chosen.size / 2 ** 20).toFixed(0)} MiB; expected at most ${most / 2 ** 20} MiB`); return; }
  file = chosen; scene = !photograph; say("");
  URL.revokeObjectURL($("image").src);
  show(scene, "scene"); $("name").textContent = file.name; $("white").value = "";
  if (scene) { show(false, "shown", "hint", "made", "seen"); offer(true); return; }
  $("image").onerror = () => { show(false, "shown", "hint"); };  // what the browser cannot show may be read all the same
  $("image").src = URL.createObjectURL(file);
  show(true, "shown", "hint"); show(false, "made", "seen"); offer(true);
}
function offer(on) {  // what can be asked for; all of a picture has maps, but no head to turn
  show(on, "go"); show(on && !scene, "making"); show(on && !scene && PRODUCTS[$("make").value].whole, "whole");
}
async function send(where) {
  const what = scene ? "scene" : $("make").value;
  offer(false); show(false, "made", "seen"); show(true, "cancel", "bar"); say("sending");
  try {
    const answer = await fetch(what + (where ? "/" + where : ""), {method: "POST", body: file, headers: {"X-Name": encodeURIComponent(file.name)}});
    const told = answer.headers.get("Content-Type") === "application/json" ? await answer.json() : {error: `the server refused: ${answer.status}`};
    if (told.error) throw Error(told.error);
    const mine = job = told.job;  // after a cancel another may have been begun
    for (;;) {
      await new Promise(done => setTimeout(done, 250));
      if (job !== mine) return;
      const state = await (await fetch("state/" + mine)).json();
      if (job !== mine) return;
      say(state.step);
      if (state.error) throw Error(state.error);
      if (!state.done) continue;
      if (what === "maps" || what === "scene") { location = "made/" + mine; job = null; return; }
      const made = await (await fetch("made/" + mine)).blob();
      end(`${PRODUCTS[what].label}: ready. Nothing is kept of it unless you save it.`);
      URL.revokeObjectURL($("link").href);
      $("link").href = URL.createObjectURL(made); $("link").download = file.name.replace(/\.[^.]*$/, "") + PRODUCTS[what].ending;
      $("seen").src = made.type.startsWith("image/") ? $("link").href : "";
      show(true, "made"); show(made.type.startsWith("image/"), "seen");
      return;
    }
  } catch (error) { end(error.message); }
}
function end(words) { job = null; show(false, "cancel", "bar"); offer(!!file); say(words); }
for (const [key, one] of Object.entries(PRODUCTS)) $("make").add(new Option(one.label, key));
$("make").onchange = () => offer(!!file && !job);
$("file").onchange = e => choose(e.target.files[0]);
$("go").onclick = () => send(scene ? encodeURI($("white").value.replaceAll(" ", "")) : box);
$("whole").onclick = () => send("whole");
$("cancel").onclick = () => { const k = job; end("cancelled"); if (k) fetch("cancel/" + k, {method: "POST"}); };
for (const kind of ["dragover", "dragenter"]) addEventListener(kind, e => { e.preventDefault(); $("drop").classList.add("over"); });
for (const kind of ["dragleave", "drop"]) addEventListener(kind, e => { e.preventDefault(); $("drop").classList.remove("over"); });
addEventListener("drop", e => choose(e.dataTransfer.files[0]));
let from = null;
const at = e => { const r = $("image").getBoundingClientRect();
  return [Math.min(1, Math.max(0, (e.clientX - r.left) / r.width)), Math.min(1, Math.max(0, (e.clientY - r.top) / r.height))]; };
$("shown").onpointerdown = e => { from = at(e); $("shown").setPointerCapture(e.pointerId); };
$("shown").onpointermove = e => {
  if (!from) return;
  const to = at(e), x = Math.min(from[0], to[0]), y = Math.min(from[1], to[1]), w = Math.abs(to[0] - from[0]), h = Math.abs(to[1] - from[1]);
  const {naturalWidth: W, naturalHeight: H} = $("image");
  box = w * W < 16 || h * H < 16 ? null : [x * W, y * H, w * W, h * H].map(Math.round).join(",");
  show(!!box, "box");
  Object.assign($("box").style, {left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * w}%`, height: `${100 * h}%`});
};
$("shown").onpointerup = () => { from = null; };
addEventListener("pagehide", () => { if (job) fetch("cancel/" + job, {method: "POST", keepalive: true}); });

"use strict";
const $ = id => document.getElementById(id);

// --- what a page holds: typed arrays, packed by msfit.view.packing --------------------------------------------------
const TYPES = {f4: Float32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array};
function decode(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}
async function unpack(element) {
  const stream = new Blob([decode(element.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer()), Type = TYPES[element.dataset.type];
  const size = Type.BYTES_PER_ELEMENT, n = planes.length / size, bytes = new Uint8Array(planes.length);
  for (let j = 0; j < size; j++) for (let i = 0, from = j * n, to = j; i < n; i++, from++, to += size) bytes[to] = planes[from];
  element.remove();
  return new Type(bytes.buffer);
}

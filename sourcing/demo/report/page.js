"use strict";
// one clip at a time: every button with data-clip plays the <audio> of that track
const clipOf = (track) => document.getElementById("clip-" + track);
function toggle(track) {
  const clip = clipOf(track);
  if (!clip) return;
  if (!clip.paused) return clip.pause();
  for (const other of document.querySelectorAll("audio")) other.pause();
  clip.currentTime = 0;
  clip.play();
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-clip]");
  if (button) toggle(button.dataset.clip);
});
for (const clip of document.querySelectorAll("audio")) {
  const show = () => {
    for (const button of document.querySelectorAll("[data-clip]"))
      if ("clip-" + button.dataset.clip === clip.id) button.setAttribute("aria-pressed", String(!clip.paused));
  };
  for (const change of ["play", "pause", "ended"]) clip.addEventListener(change, show);
}

// the map: a mouse points, a finger taps, arrow keys go to the nearest track that way, Enter or a click plays
const map = document.getElementById("map");
if (map) {
  const ring = document.getElementById("map-ring");
  const tip = document.getElementById("map-tip");
  const dots = [...map.querySelectorAll("[data-track]")].map((mark) => {
    const title = mark.querySelector("title");  // what browsers without this script show
    title.remove();
    const plays = "plays" in mark.dataset ? "\u00a0▶" : "";
    return { track: mark.dataset.track, x: +mark.dataset.x, y: +mark.dataset.y, text: title.textContent + plays };
  });
  let chosen = null;
  const choose = (dot) => {
    chosen = dot;
    ring.setAttribute("cx", dot ? dot.x : -20);
    ring.setAttribute("cy", dot ? dot.y : -20);
    tip.textContent = dot ? dot.text : "";
    if (!dot) return;
    const frame = tip.parentElement.getBoundingClientRect();
    const spot = new DOMPoint(dot.x, dot.y).matrixTransform(map.getScreenCTM());
    const left = spot.x - frame.left - tip.offsetWidth / 2;
    tip.style.left = Math.max(4, Math.min(left, frame.width - tip.offsetWidth - 4)) + "px";
    const above = spot.y - frame.top - tip.offsetHeight - 14;
    tip.style.top = (above > 0 ? above : spot.y - frame.top + 14) + "px";
  };
  const best = (cost) => dots.reduce((least, dot) => (cost(dot) < (least ? cost(least) : Infinity) ? dot : least), null);
  const under = (event) => {
    const toScreen = map.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(toScreen.inverse());
    const reach = (event.pointerType === "mouse" ? 12 : 26) / toScreen.a;  // a fingertip is wide on any screen
    const dot = best((each) => Math.hypot(each.x - at.x, each.y - at.y));
    return Math.hypot(dot.x - at.x, dot.y - at.y) < reach ? dot : null;
  };
  map.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") choose(under(event)); });
  map.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") choose(null); });
  map.addEventListener("pointerup", (event) => {
    const dot = under(event);
    const again = dot && dot === chosen;  // the first tap names a track, the second plays it; a mouse has pointed already
    choose(dot);
    if (again) toggle(dot.track);
  });
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    const middle = map.viewBox.baseVal;
    if (way && !chosen) choose(best((dot) => Math.hypot(dot.x - middle.width / 2, dot.y - middle.height / 2)));
    else if (way) {
      const next = best((dot) => {
        const ahead = (dot.x - chosen.x) * way[0] + (dot.y - chosen.y) * way[1];
        const aside = Math.abs((dot.x - chosen.x) * way[1]) + Math.abs((dot.y - chosen.y) * way[0]);
        return ahead > 0.05 ? ahead + 2 * aside : Infinity;
      });
      if (next) choose(next);
    } else if ((event.key === "Enter" || event.key === " ") && chosen) toggle(chosen.track);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  map.addEventListener("blur", () => choose(null));
}

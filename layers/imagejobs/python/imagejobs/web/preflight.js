/** What a check has found: a job that looked at its pictures and compressed none. */

import { el } from "./dom.js";
import { bytes, count, counted, duration, money, percentSaved, reason } from "./words.js";

/**
 * @param {import("./api.js").Job} job
 * @returns {string[][]} Its tiles: name, value, note, kind.
 */
export function checkTiles(job) {
  const failing = job.images_failed || job.rows_failed ? "failing" : "";
  const unread = job.rows_failed ? `and ${counted(job.rows_failed, "row")} that cannot be read` : "";
  const tiles = [
    ["Can be compressed", count(job.images_completed), ""],
    ["Would fail", count(job.images_failed), unread, failing],
    ["Files now", bytes(job.bytes_before), ""],
  ];
  if (!job.preflight) return tiles;
  const { bytes_after: after, seconds, usd } = job.preflight.estimate;
  return [
    ...tiles,
    ["Files then, about", bytes(after), `saves ${percentSaved(job.bytes_before, after)}`, "saving"],
    ["Time", duration(seconds), ""],
    ["Cost", money(usd), "to whoever runs the service"],
  ];
}

/** @param {import("./api.js").Preflight} preflight @returns {HTMLElement} */
export function findings(preflight) {
  const failures = Object.entries(preflight.images_failed_by_code).sort(([, one], [, other]) => other - one);
  const { small, large } = preflight.warnings;
  const formats = Object.entries(preflight.formats).map(([name, found]) => `${count(found.images)} ${name.toUpperCase()} (${bytes(found.bytes)})`);
  const lines = [
    ...failures.map(([code, images]) => [images, `${reason(code)}.`, "bad"]),
    [small, "A side has under 250 pixels; shops refuse such pictures."],
    [large, "Over 20 megapixels or 16 MB; shops refuse such pictures."],
    [preflight.duplicates, "The same address stands earlier in the sheet; it is done once."],
    [preflight.images_reused, "Unchanged since an earlier job; it costs nothing."],
  ].filter(([images]) => images);
  return el(
    "section", { "aria-labelledby": "findings-heading" },
    el("h2", { id: "findings-heading" }, "What was found"),
    el("ul", { class: "findings" }, lines.map(([images, words, kind]) =>
      el("li", { class: kind ?? "" }, el("strong", {}, counted(images, "picture")), " ", el("span", {}, words)))),
    formats.length > 0 && el("p", { class: "help" },
      `Formats: ${formats.join(", ")}. What they come to is an estimate: it may be half or twice as many bytes.`),
  );
}

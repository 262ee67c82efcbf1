/** How far a job is: the bar, the counts, the time that is left, and what was saved. */

import { hasEnded } from "./api.js";
import { announce, el } from "./dom.js";
import { checkTiles, findings } from "./preflight.js";
import { bytes, count, counted, duration, listed, momentText, percentSaved } from "./words.js";

const RATE_SECONDS = 30; // the time that is left follows from what was done in the last half minute
const ANNOUNCE_PERCENT = 10;

/**
 * @param {import("./api.js").Job} job
 * @returns {{word: string, kind: "waiting" | "working" | "good" | "partly" | "bad"}} Its status in a word.
 */
export function state(job) {
  if (job.status === "PENDING") return { word: "Waiting", kind: "waiting" };
  if (job.status === "PROCESSING") return { word: job.dry_run ? "Checking" : "Working", kind: "working" };
  if (job.error_message === "cancelled") return { word: "Cancelled", kind: "bad" };
  if (job.status === "FAILED") return { word: "Failed", kind: "bad" };
  return { word: job.dry_run ? "Checked" : "Finished", kind: job.images_failed || job.rows_failed ? "partly" : "good" };
}

/** @param {import("./api.js").Job} job @returns {string} */
export function nameOf(job) {
  return `${job.dry_run ? "Check" : "Job"} of ${momentText(job.created_at)}`;
}

export class Progress {
  constructor() {
    this.bar = el("progress", { max: "100", id: "progress" });
    this.words = el("p", { class: "words" });
    this.live = el("div", { class: "live" }, el("label", { for: "progress" }, "Progress"), this.bar, this.words);
    this.tiles = el("dl", { class: "tiles" });
    this.findings = el("div");
    this.sheet = el("p", { class: "help sheet" });
    this.element = el("section", { class: "panel", "aria-label": "Progress and totals" }, this.live, this.tiles, this.findings, this.sheet);
    /** @type {{at: number, done: number}[]} */
    this.samples = [];
    this.said = 0;
  }

  /** @param {import("./api.js").Job} job */
  show(job) {
    this.live.hidden = hasEnded(job);
    if (job.images === null) this.bar.removeAttribute("value");
    else this.bar.value = job.completion_percentage;
    this.words.textContent = this.#sentence(job);
    const tiles = job.dry_run ? checkTiles(job) : runTiles(job);
    this.tiles.replaceChildren(...tiles.map(([name, value, note, kind]) =>
      el("div", { class: kind ?? "" }, el("dt", {}, name), el("dd", {}, value, note && el("small", {}, ` ${note}`)))));
    this.findings.replaceChildren(...(job.preflight ? [findings(job.preflight)] : []));
    this.sheet.textContent = job.sheet ? sheetWords(job.sheet) : "";
    this.#announce(job);
  }

  /** @param {Error} error The service did not answer. */
  lose(error) {
    this.words.textContent = `${error.message} It is asked again by itself.`;
  }

  #sentence(job) {
    if (job.images === null) return "Reading the sheet …";
    const done = job.images_completed + job.images_failed;
    if (done === job.images && !hasEnded(job)) return "The pictures are done; the finished CSV is being written …";
    const left = this.#secondsLeft(done, job.images);
    const time = left === null ? "" : `, ${duration(left)} left`;
    return `${count(done)} of ${counted(job.images, "picture")}, ${job.completion_percentage} %${time}`;
  }

  /** By the rate of the last half minute; null until there is one. */
  #secondsLeft(done, all) {
    const at = performance.now() / 1000;
    if (this.samples.at(-1)?.done > done) this.samples = []; // a retry
    this.samples.push({ at, done });
    while (at - this.samples[0].at > RATE_SECONDS) this.samples.shift();
    const first = this.samples[0];
    return done > first.done && done < all ? ((all - done) * (at - first.at)) / (done - first.done) : null;
  }

  #announce(job) {
    if (hasEnded(job)) {
      if (this.said !== 100 && this.samples.length > 1) announce(`${state(job).word}. ${this.words.textContent}`);
      this.said = 100;
    } else if (job.completion_percentage >= this.said + ANNOUNCE_PERCENT || job.completion_percentage < this.said) {
      this.said = job.completion_percentage;
      announce(this.words.textContent);
    }
  }
}

/** @param {import("./api.js").Job} job @returns {string} */
function notes(job) {
  const kept = job.images_unchanged && `${count(job.images_unchanged)} kept as is`;
  const reused = job.images_reused && `${count(job.images_reused)} unchanged since an earlier job`;
  return [kept, reused].filter(Boolean).join(", ");
}

/** @param {import("./api.js").Job} job @returns {string[][]} Name, value, note, kind. */
function runTiles(job) {
  const saved = job.bytes_before - job.bytes_after;
  const unread = job.rows_failed ? `and ${counted(job.rows_failed, "row")} that could not be read` : "";
  return [
    ["Saved", bytes(saved), job.bytes_before ? percentSaved(job.bytes_before, job.bytes_after) : "", "saving"],
    ["Before", bytes(job.bytes_before), ""],
    ["After", bytes(job.bytes_after), ""],
    ["Compressed", count(job.images_completed), notes(job)],
    ["Failed", count(job.images_failed), unread, job.images_failed || job.rows_failed ? "failing" : ""],
  ];
}

const COLUMN_SEPARATORS = { comma: "commas", semicolon: "semicolons", tab: "tabs" };
const URL_SEPARATORS = { ",": "commas", "|": "upright strokes", ";": "semicolons", "\n": "line breaks" };

/** @param {import("./api.js").Sheet} sheet @returns {string} How it was read. */
function sheetWords({ columns, column_separator: separator, url_separators: found }) {
  const within = found.length ? `, addresses within a cell by ${listed(found.map((each) => URL_SEPARATORS[each]))}` : "";
  return `Read from the columns ${listed([columns.id, columns.name, ...columns.urls].map((name) => `“${name}”`))}; ` +
    `cells separated by ${COLUMN_SEPARATORS[separator]}${within}.`;
}

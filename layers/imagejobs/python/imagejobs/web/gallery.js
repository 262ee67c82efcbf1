/** The pictures of a job by row, before and after, filtered as the address says. */

import { el, problem, button } from "./dom.js";
import { enlarger } from "./card.js";
import { Pages } from "./pages.js";
import { Rows } from "./rows.js";
import { count, counted } from "./words.js";

const SCREENFUL = 60;
const TYPING_MILLISECONDS = 250;

/** What is shown, by the address's `show`: a status for the API, a test for what it cannot tell, and the job's own count. */
const FILTERS = {
  all: { label: "All", status: null, matches: () => true, of: (job) => job.images },
  failed: { label: "Failed", status: "FAILED", matches: () => true, of: (job) => job.images_failed },
  unchanged: {
    label: "Kept as is",
    status: "COMPLETED",
    matches: (picture) => picture.outcome === "unchanged",
    of: (job) => job.images_unchanged,
  },
  reused: {
    label: "Compressed before",
    status: "COMPLETED",
    matches: (picture) => picture.reused !== null,
    of: (job) => job.images_reused,
  },
  repeated: {
    label: "Repeated",
    status: null,
    matches: (picture) => picture.same_as_row_number !== null,
    of: (job) => job.preflight?.duplicates,
  },
};
const ALWAYS = ["all", "failed"]; // the others are there when they have something to show

export class Gallery {
  /** @param {import("./app.js").View} view */
  constructor({ api, id, filters, signal }) {
    Object.assign(this, { api, id, signal });
    this.show = Object.hasOwn(FILTERS, filters.get("show") ?? "") ? filters.get("show") : "all";
    this.find = filters.get("find") ?? "";
    this.rows = new Rows(enlarger());
    this.said = el("p", { class: "found", role: "status" });
    this.more = el("p", { class: "actions" });
    this.controls = el("div", { class: "filters", hidden: true }, this.#choices(), this.#search());
    this.element = el(
      "section", { "aria-labelledby": "pictures-heading" },
      el("h2", { id: "pictures-heading", tabindex: "-1" }, "Pictures"),
      this.controls, this.said, this.rows.element, this.more, this.rows.dialog,
    );
  }

  /** While the job is open: whether more pictures are shown as they come. */
  get wantsEarly() {
    return this.rows.size < SCREENFUL;
  }

  /** @param {import("./api.js").Picture[]} pictures That have just been done. */
  addEarly(pictures) {
    this.controls.hidden = true;
    for (const picture of pictures) this.rows.put(picture);
    this.said.textContent = this.rows.size
      ? "The first ones as they are done; all of them, to be searched, at the end."
      : "They come as they are done.";
  }

  /** Begin anew. */
  clear() {
    this.rows.clear();
    this.more.replaceChildren();
    this.said.textContent = "";
  }

  /** The job has ended. @param {import("./api.js").Job} job */
  async showAll(job) {
    this.job = job;
    this.controls.hidden = !job.images;
    for (const [name, filter] of Object.entries(FILTERS)) {
      const number = this.controls.querySelector(`[data-count="${name}"]`);
      number.textContent = count(filter.of(job) ?? 0);
      number.closest("label").hidden = !filter.of(job) && !ALWAYS.includes(name) && this.show !== name;
    }
    if (this.show !== "all" || this.find) this.rows.clear(); // what came early may not match
    this.#begin();
    await this.#extend();
  }

  #begin() {
    const { status, matches } = FILTERS[this.show];
    const wanted = this.find.trim().toLocaleLowerCase();
    const named = (picture) => `${picture.product_name} ${picture.serial_number ?? ""}`.toLocaleLowerCase().includes(wanted);
    this.pages = new Pages(this.api, this.id, status, (picture) => matches(picture) && named(picture), this.signal);
  }

  /** Another filter: the address says it, too, so that it can be kept and sent to others. */
  #change() {
    const said = new URLSearchParams();
    if (this.show !== "all") said.set("show", this.show);
    if (this.find) said.set("find", this.find);
    history.replaceState(null, "", `#/job/${this.id}${said.size ? `?${said}` : ""}`);
    this.rows.clear();
    this.#begin();
    return this.#extend();
  }

  async #extend() {
    const { pages } = this;
    try {
      const pictures = await pages.take(SCREENFUL);
      if (pages !== this.pages) return; // another filter was chosen meanwhile
      const cards = pictures.map((picture) => this.rows.put(picture));
      this.#tell();
      if (this.more.contains(document.activeElement)) cards[0]?.querySelector("a, button, input")?.focus();
      this.more.replaceChildren();
      if (!pages.done) this.more.append(button(pictures.length < SCREENFUL ? "Search on" : "Show more", () => this.#extend(), ""));
    } catch (error) {
      if (this.signal.aborted || pages !== this.pages) return;
      this.more.replaceChildren(problem("The pictures did not come", error), button("Try again", () => this.#extend(), ""));
    }
  }

  #tell() {
    const { size } = this.rows;
    const all = FILTERS[this.show].of(this.job) ?? 0;
    if (!this.job.images) this.said.textContent = "There are none.";
    else if (this.find && this.pages.done) this.said.textContent = `${counted(size, "picture")} found.`;
    else if (this.find) this.said.textContent = `${counted(size, "picture")} found in the first ${count(this.pages.searched)}.`;
    else this.said.textContent = size === all ? `${counted(all, "picture")}.` : `${count(size)} of ${counted(all, "picture")}.`;
  }

  #choices() {
    const choices = Object.entries(FILTERS).map(([name, { label }]) =>
      el("label", {},
        el("input", { type: "radio", name: "show", value: name, checked: name === this.show, onchange: () => { this.show = name; this.#change(); } }),
        el("span", {}, label, " ", el("small", { "data-count": name }))));
    return el("fieldset", { class: "choices" }, el("legend", { class: "unseen" }, "Which pictures"), choices);
  }

  #search() {
    let typing;
    const input = el("input", { id: "find", type: "search", value: this.find, placeholder: "Find a product", oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => { this.find = input.value; this.#change(); }, TYPING_MILLISECONDS);
    } });
    return el("div", { class: "search" }, el("label", { for: "find", class: "unseen" }, "Find a product"), input);
  }
}

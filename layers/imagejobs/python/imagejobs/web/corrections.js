/** The rows of a job that failed: to be downloaded, corrected, and merged into the same job. */

import { button, el, problem } from "./dom.js";
import { MAX_API_BYTES, checkFile } from "./submission.js";
import { download } from "./ways.js";

export class Corrections {
  /**
   * @param {import("./app.js").View} view
   * @param {() => void} begun Called when the job is at work on the corrections.
   */
  constructor({ api, id, signal }, begun) {
    Object.assign(this, { api, id, signal, begun });
    this.errors = el("div");
    this.submit = el("button", { type: "submit", class: "primary" }, "Send the corrections");
    this.form = el(
      "form", { class: "actions", onsubmit: (event) => this.#send(event) },
      el("label", { for: "corrected" }, "The corrected file"),
      el("input", {
        id: "corrected", type: "file", name: "file", accept: ".csv,.tsv,.gz,text/csv", required: true,
        onchange: () => this.errors.replaceChildren(),
      }),
      this.submit,
    );
    this.element = el(
      "details", { class: "panel corrections", hidden: true },
      el("summary", {}, "Correct the rows that failed"),
      el("ol", {},
        el("li", {}, "Download them: your own rows, each with its number and what is wrong with it. ", button("Download the failures", () => this.#download(), "")),
        el("li", {}, "Correct the cells, in a spreadsheet for instance. Leave the column ", el("code", {}, "Row"),
          " as it is; rows that you take out stay as they are."),
        el("li", {}, "Send the file back. What was compressed stays.", this.form)),
      this.errors,
    );
  }

  /** @param {boolean} are There are rows to correct. */
  offer(are) {
    this.element.hidden = !are;
  }

  async #download() {
    this.errors.replaceChildren();
    try {
      await download(this.api, this.id, "failures.csv");
    } catch (error) {
      if (!this.signal.aborted) this.errors.replaceChildren(problem("The failures did not come", error));
    }
  }

  /** @param {SubmitEvent} event */
  async #send(event) {
    event.preventDefault();
    if (this.submit.getAttribute("aria-disabled")) return;
    this.submit.setAttribute("aria-disabled", "true");
    this.errors.replaceChildren();
    try {
      const fields = new FormData(this.form);
      await checkFile(fields.get("file"), MAX_API_BYTES);
      await this.api.correct(this.id, fields);
      this.form.reset();
      this.element.open = false;
      this.begun();
    } catch (error) {
      if (!this.signal.aborted) this.errors.replaceChildren(problem("The corrections were not taken; nothing has changed", error));
    } finally {
      this.submit.removeAttribute("aria-disabled");
    }
  }
}

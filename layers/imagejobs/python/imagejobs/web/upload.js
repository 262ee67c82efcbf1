/** A new job: the CSV, and how its pictures are to be compressed. */

import { announce, el, problem } from "./dom.js";
import { fields, moreOptions, options } from "./options.js";
import { Submission } from "./submission.js";
import { bytes } from "./words.js";

const EMPTY = "Drop a CSV here, or choose one";

/**
 * @param {import("./api.js").Api} api
 * @param {AbortSignal} signal Aborted when the view is left.
 * @returns {HTMLElement}
 */
export function uploadForm(api, signal) {
  const file = el("input", {
    id: "file", type: "file", name: "file", accept: ".csv,.tsv,.gz,text/csv", required: true,
    "aria-describedby": "file-help", onchange: () => choose(file.files[0]),
  });
  const chosen = el("strong", { class: "chosen" }, EMPTY);
  const zone = el("label", { class: "zone", for: "file" }, chosen, el("span", { class: "fake-button", "aria-hidden": "true" }, "Choose a file"));
  const errors = el("div");
  const run = el("button", { type: "submit", class: "primary" }, "Compress the pictures");
  const check = el("button", { type: "submit", "aria-describedby": "check-help" }, "Check first");
  const form = el(
    "form", { class: "panel upload", onsubmit, "aria-label": "New job" },
    el("div", { class: "drop" }, file, zone,
      el("p", { id: "file-help", class: "help" },
        "Up to 256 MB, a row for each product. Columns of your own stay as they are.")),
    options(),
    moreOptions(),
    errors,
    el("p", { class: "actions" }, run, check,
      el("span", { id: "check-help", class: "help" }, "A check finds dead links and says what to expect. It compresses nothing.")),
  );
  /** @type {Submission | null} What the buttons send again, until something is changed. */
  let submission = null;

  takeDrops(zone, signal, (dropped) => {
    const carrier = new DataTransfer();
    carrier.items.add(dropped);
    file.files = carrier.files;
    choose(dropped);
    run.focus();
  });
  form.addEventListener("change", () => { submission = null; });
  return form;

  /** @param {File | undefined} picked */
  function choose(picked) {
    errors.replaceChildren();
    submission = null;
    chosen.textContent = picked ? `${picked.name}, ${bytes(picked.size)}` : EMPTY;
    zone.classList.toggle("full", Boolean(picked));
    if (picked) announce(`${picked.name} is chosen`);
  }

  /** @param {SubmitEvent} event */
  async function onsubmit(event) {
    event.preventDefault();
    if (form.getAttribute("aria-busy")) return;
    form.setAttribute("aria-busy", "true");
    const pressed = event.submitter === check ? check : run;
    const label = pressed.textContent;
    pressed.setAttribute("aria-disabled", "true");
    pressed.textContent = "Sending the CSV …";
    errors.replaceChildren();
    try {
      const isCheck = pressed === check;
      if (submission?.isCheck !== isCheck) submission = new Submission(fields(form), isCheck);
      const id = await submission.send(api);
      if (!signal.aborted) location.hash = `#/job/${id}`;
    } catch (error) {
      errors.replaceChildren(problem("The job was not begun", error, el("p", { class: "help" }, advice(error))));
    } finally {
      form.removeAttribute("aria-busy");
      pressed.removeAttribute("aria-disabled");
      pressed.textContent = label;
    }
  }
}

/** @param {Error & {code?: string, passing?: boolean}} error @returns {string} */
function advice(error) {
  if (error.passing) return "Nothing is lost: press the button again in a moment.";
  if (error.code?.startsWith("sheet")) return "Mend the file and choose it again, or say above how it is made. Nothing was begun and nothing counted.";
  return "Change it above and press the button again; nothing was begun.";
}

/**
 * Take a file that is dropped anywhere on the page: one beside the zone would replace the page otherwise.
 *
 * @param {HTMLElement} zone
 * @param {AbortSignal} signal
 * @param {(file: File) => void} take
 */
function takeDrops(zone, signal, take) {
  const light = (on) => zone.classList.toggle("over", on);
  document.addEventListener("dragover", (event) => { event.preventDefault(); light(true); }, { signal });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) light(false); }, { signal });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    light(false);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  }, { signal });
}

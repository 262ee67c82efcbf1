/** A new job: the CSV, and how its pictures are to be compressed. */

import { announce, el, problem } from "./dom.js";
import { bytes, count } from "./words.js";

const MAX_BYTES = 256 * 1024 * 1024; // of a sheet, as the storage's form takes it
const MAX_API_BYTES = 4_400_000; // of POST /upload; beyond that the file goes into the bucket by itself
const QUALITIES = [
  [90, "very close to the original, even enlarged"],
  [75, "hard to tell from the original"],
  [55, "small; traces show where one looks for them"],
  [1, "very small; traces show"],
];

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
  const chosen = el("strong", { class: "chosen" }, "Drop a CSV here, or choose one");
  const zone = el("label", { class: "zone", for: "file" }, chosen, el("span", { class: "fake-button", "aria-hidden": "true" }, "Choose a file"));
  const errors = el("div");
  const submit = el("button", { type: "submit", class: "primary" }, "Compress the pictures");
  const look = el("button", { type: "submit", name: "dry_run", value: "true", "aria-describedby": "look-help" }, "Only look first");
  const form = el(
    "form", { class: "panel upload", onsubmit, "aria-label": "New job" },
    el("div", { class: "drop" }, file, zone,
      el("p", { id: "file-help", class: "help" },
        "Up to 256 MB, a row for each product. Columns of your own stay as they are.")),
    options(),
    errors,
    el("p", { class: "actions" }, submit, look,
      el("span", { id: "look-help", class: "help" }, "A look finds dead links and says what the job would come to; nothing is compressed.")),
  );
  let key = crypto.randomUUID(); // one for each upload, kept when the same one is sent again
  let last = submit;

  takeDrops(zone, signal, (dropped) => {
    const carrier = new DataTransfer();
    carrier.items.add(dropped);
    file.files = carrier.files;
    choose(dropped);
    submit.focus();
  });
  form.addEventListener("change", () => { key = crypto.randomUUID(); });
  return form;

  /** @param {File | undefined} picked */
  function choose(picked) {
    errors.replaceChildren();
    key = crypto.randomUUID();
    chosen.textContent = picked ? `${picked.name}, ${bytes(picked.size)}` : "Drop a CSV here, or choose one";
    zone.classList.toggle("full", Boolean(picked));
    if (picked) announce(`${picked.name} is chosen`);
  }

  /** @param {SubmitEvent} event */
  async function onsubmit(event) {
    event.preventDefault();
    const pressed = event.submitter;
    if (pressed.getAttribute("aria-disabled")) return;
    if (pressed !== last) key = crypto.randomUUID();
    last = pressed;
    const label = pressed.textContent;
    for (const each of [submit, look]) each.setAttribute("aria-disabled", "true");
    pressed.textContent = "Sending the CSV …";
    errors.replaceChildren();
    try {
      checkSize(file.files[0]);
      const { request_id: id } = await send(api, fields(form, pressed), key);
      if (!signal.aborted) location.hash = `#/job/${id}`;
    } catch (error) {
      errors.replaceChildren(problem("The job was not begun", error, el("p", { class: "help" }, advice(error))));
    } finally {
      for (const each of [submit, look]) each.removeAttribute("aria-disabled");
      pressed.textContent = label;
    }
  }
}

/** @param {File} file */
function checkSize(file) {
  if (file.size > MAX_BYTES) throw new Error(`The file has ${count(file.size)} bytes; ${count(MAX_BYTES)} are taken. Split it.`);
}

/** @param {import("./api.js").Api} api @param {FormData} form @param {string} key @returns {Promise<{request_id: string}>} */
function send(api, form, key) {
  const file = form.get("file");
  if (file.size <= MAX_API_BYTES) return api.upload(form, key);
  form.delete("file");
  return api.uploadLarge(file, form, key);
}

/** @param {Error & {code?: string, passing?: boolean}} error @returns {string} */
function advice(error) {
  if (error.passing) return "Nothing is lost: press the button again in a moment.";
  if (error.code?.startsWith("sheet")) return "Mend the file and choose it again; nothing was begun and nothing counted.";
  return "Change it above and press the button again; nothing was begun.";
}

/** @param {HTMLFormElement} form @param {HTMLButtonElement} pressed @returns {FormData} Without the fields that say nothing. */
function fields(form, pressed) {
  const filled = new FormData(form, pressed);
  for (const [name, value] of [...filled]) {
    if (value === "") filled.delete(name);
  }
  return filled;
}

/** @returns {HTMLElement} */
function options() {
  const quality = el("input", {
    id: "quality", name: "quality", type: "range", min: "1", max: "100", value: "80",
    "aria-describedby": "quality-words", oninput: describe,
  });
  const words = el("output", { id: "quality-words", for: "quality" });
  /** The number in words. */
  function describe() {
    const [, said] = QUALITIES.find(([least]) => Number(quality.value) >= least);
    words.textContent = `${quality.value}: ${said}`;
  }
  describe();
  return el(
    "fieldset", {},
    el("legend", {}, "How"),
    el("div", { class: "fields" },
      select("preset", "The sheet is", "Ours has S. No., Product Name and Input Image Urls.", [
        ["", "our standard one"],
        ["shopify", "a Shopify export"],
        ["woocommerce", "a WooCommerce export"],
      ]),
      select("column_separator", "Its cells are separated by", "Excel writes semicolons in much of Europe.", [
        ["", "commas"],
        ["semicolon", "semicolons"],
        ["tab", "tabs"],
      ]),
      select("format", "Save as", "A picture that would grow keeps its own format.", [
        ["", "the format it has"],
        ["auto", "the smallest that browsers show"],
        ["jpeg", "JPEG"],
        ["webp", "WebP"],
        ["avif", "AVIF"],
      ]),
      el("div", { class: "field" }, el("label", { for: "quality" }, "Quality"), quality, words),
      el("div", { class: "field" },
        el("label", { for: "webhook_url" }, "Tell when done", el("span", { class: "help" }, " (optional)")),
        el("input", {
          id: "webhook_url", name: "webhook_url", type: "url", placeholder: "https://shop.example/hook",
          "aria-describedby": "webhook_url-help",
        }),
        el("p", { id: "webhook_url-help", class: "help" }, "An address that gets one signed message at the end.")),
    ),
  );
}

/** @param {string} name @param {string} label @param {string} help @param {string[][]} choices @returns {HTMLElement} */
function select(name, label, help, choices) {
  return el(
    "div", { class: "field" },
    el("label", { for: name }, label),
    el("select", { id: name, name, "aria-describedby": `${name}-help` }, choices.map(([value, text]) => el("option", { value }, text))),
    el("p", { id: `${name}-help`, class: "help" }, help),
  );
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

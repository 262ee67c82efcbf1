/** The fields of a new job beside its CSV, and what they say to the API. */

import { el } from "./dom.js";

const QUALITIES = [
  [90, "very close to the original, even enlarged"],
  [75, "hard to tell from the original"],
  [55, "small; traces show where one looks for them"],
  [1, "very small; traces show"],
];
const MAX_SIDE_PIXELS = "65535"; // JPEG's own limit, and the API's

/** @returns {HTMLElement} What every job asks for. */
export function options() {
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
      quality(),
      input("webhook_url", "Tell when done", "An address that gets one signed message at the end.", {
        type: "url", placeholder: "https://shop.example/hook",
      })),
  );
}

/** @param {HTMLFormElement} form @returns {FormData} What is sent: the fields that say something. */
export function fields(form) {
  const filled = new FormData(form);
  const columns = {
    id: take(filled, "id_column"),
    name: take(filled, "name_column"),
    urls: names(take(filled, "url_columns")),
  };
  const named = Object.entries(columns).filter(([, value]) => value.length);
  if (named.length) filled.set("columns", JSON.stringify(Object.fromEntries(named)));
  for (const [name, value] of [...filled]) {
    if (value === "") filled.delete(name);
  }
  return filled;
}

/** @param {string} text @returns {string[]} As a CSV's header has them: between commas, or quotes. */
function names(text) {
  const cells = text.match(/"(?:[^"]|"")*"|[^,"]+/g) ?? [];
  return cells.map((cell) => cell.trim().replace(/^"(.*)"$/, "$1").replaceAll('""', '"')).filter(Boolean);
}

/** @param {FormData} filled @param {string} name @returns {string} What was there. */
function take(filled, name) {
  const text = filled.get(name).trim();
  filled.delete(name);
  return text;
}

/** @returns {HTMLElement} What most jobs leave as it is. */
export function moreOptions() {
  const pixels = { type: "number", min: "1", max: MAX_SIDE_PIXELS, placeholder: "pixels" };
  const details = el(
    "details", {},
    el("summary", {}, "More options"),
    el("div", { class: "fields" },
      input("max_width", "Greatest width", "Wider pictures are made smaller; none is enlarged.", pixels),
      input("max_height", "Greatest height", "Likewise for higher ones.", pixels),
      input("min_quality", "Least measured quality", "1 to 100. A picture that falls below is compressed less. Empty: not measured.", {
        type: "number", min: "1", max: "100",
      }),
      input("id_column", "Column of the number", "If it has another name than usual: what a product's rows share."),
      input("name_column", "Column of the name", "If it has another name than usual."),
      input("url_columns", "Columns of picture addresses", "If they have other names than usual; several with commas between, one that has a comma in quotes."),
      select("result", "What comes back", "A shop's export gets new addresses only, so that it can be imported.", [
        ["", "as usual for the sheet"],
        ["append", "our columns are added"],
        ["replace", "new addresses stand in place of the old"],
      ]),
      check("human_urls", "true", "Addresses with your numbers", "A second one for each picture, such as …/12/1.jpg."),
      check("reuse", "false", "Compress everything anew", "Otherwise what did not change since an earlier job stays as it is.")),
  );
  details.addEventListener("invalid", () => { details.open = true; }, true); // or nobody sees why nothing happens
  return details;
}

/** @returns {HTMLElement} */
function quality() {
  const slider = el("input", {
    id: "quality", name: "quality", type: "range", min: "1", max: "100", value: "80",
    "aria-describedby": "quality-words", oninput: describe,
  });
  const words = el("output", { id: "quality-words", for: "quality" });
  /** The number in words. */
  function describe() {
    const [, said] = QUALITIES.find(([least]) => Number(slider.value) >= least);
    words.textContent = `${slider.value}: ${said}`;
  }
  describe();
  return el("div", { class: "field" }, el("label", { for: "quality" }, "Quality"), slider, words);
}

/** @param {string} name @param {string} label @param {string} help @param {string[][]} choices @returns {HTMLElement} */
function select(name, label, help, choices) {
  return field(label, help,
    el("select", { id: name, name, "aria-describedby": `${name}-help` }, choices.map(([value, text]) => el("option", { value }, text))));
}

/** @param {string} name @param {string} label @param {string} help @param {Record<string, string>} [attributes] @returns {HTMLElement} */
function input(name, label, help, attributes = { type: "text" }) {
  return field(label, help, el("input", { id: name, name, "aria-describedby": `${name}-help`, ...attributes }));
}

/** @param {string} name @param {string} value Of the field, when it is ticked. @param {string} label @param {string} help @returns {HTMLElement} */
function check(name, value, label, help) {
  const box = el("input", { id: name, name, type: "checkbox", value, "aria-describedby": `${name}-help` });
  return el("div", { class: "field check" }, box, el("label", { for: name }, label), el("p", { id: `${name}-help`, class: "help" }, help));
}

/** @param {string} label @param {string} help @param {HTMLElement} control @returns {HTMLElement} */
function field(label, help, control) {
  return el("div", { class: "field" },
    el("label", { for: control.id }, label), control, el("p", { id: `${control.id}-help`, class: "help" }, help));
}

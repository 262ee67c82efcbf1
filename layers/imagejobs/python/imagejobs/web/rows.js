/** Pictures under the rows of the sheet that name them, each row with what it saved. */

import { card } from "./card.js";
import { el } from "./dom.js";
import { bytes, saved } from "./words.js";

const WIDEST = 4; // pictures side by side, as in the styles

export class Rows {
  /** @param {{dialog: HTMLDialogElement, open: (picture: import("./api.js").Picture) => void}} enlarger */
  constructor({ dialog, open }) {
    this.dialog = dialog;
    this.enlarge = open;
    this.element = el("ol", { class: "rows" });
    this.clear();
  }

  /** Number of pictures. */
  get size() {
    return this.cards.size;
  }

  clear() {
    /** @type {Map<string, {picture: import("./api.js").Picture, element: HTMLElement}>} */
    this.cards = new Map();
    /** @type {Map<number, {element: HTMLElement, pictures: Map<string, import("./api.js").Picture>}>} */
    this.rows = new Map();
    this.element.replaceChildren();
  }

  /** Show a picture, in the sheet's order; one that is there already stays unless it has changed. */
  put(picture) {
    const known = this.cards.get(picture.image_id);
    if (known && known.picture.status === picture.status && known.picture.image_url === picture.image_url) return known.element;
    const row = this.#row(picture);
    const element = card(picture, () => this.enlarge(picture));
    if (known) known.element.replaceWith(element);
    else place(row.element.querySelector(".cards"), element, picture.position);
    this.cards.set(picture.image_id, { picture, element });
    row.pictures.set(picture.image_id, picture);
    row.element.dataset.pictures = Math.min(row.pictures.size, WIDEST);
    row.element.querySelector(".row-total").textContent = total([...row.pictures.values()]);
    return element;
  }

  #row(picture) {
    const number = picture.row_number;
    if (!this.rows.has(number)) {
      const element = el(
        "li", { class: "row" },
        el("h3", {}, el("span", { class: "row-number" }, `Row ${number}`), " ", picture.product_name || "Without a name"),
        el("p", { class: "row-total" }),
        el("ul", { class: "cards" }),
      );
      place(this.element, element, number);
      this.rows.set(number, { element, pictures: new Map() });
    }
    return this.rows.get(number);
  }
}

/** Insert an element among its siblings by a number; most come in order, so from the end. */
function place(list, element, number) {
  element.dataset.order = number;
  let before = list.lastElementChild;
  while (before && Number(before.dataset.order) > number) before = before.previousElementSibling;
  if (before) before.after(element);
  else list.prepend(element);
}

/** @param {import("./api.js").Picture[]} pictures @returns {string} */
function total(pictures) {
  const done = pictures.filter((picture) => picture.status === "COMPLETED");
  if (!done.length) return "";
  const before = done.reduce((sum, picture) => sum + picture.bytes_before, 0);
  if (done.every((picture) => picture.outcome === "checked")) return bytes(before);
  const after = done.reduce((sum, picture) => sum + picture.bytes_after, 0);
  return `${bytes(before)} to ${bytes(after)}, ${saved(before, after)}`;
}

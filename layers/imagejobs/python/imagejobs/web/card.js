/** One picture: before and after beneath a slider, or why there is none. */

import { el, webAddress } from "./dom.js";
import { bytes, fileName, percentSaved, reason } from "./words.js";

const UNSEEN = "The original is not shown: its server does not give it to this page.";
const REUSED = { not_modified: "unchanged since it was compressed before", same_content: "the same picture was compressed before" };

/**
 * @param {import("./api.js").Picture} picture
 * @param {() => void} enlarge
 * @returns {HTMLElement}
 */
export function card(picture, enlarge) {
  if (picture.status === "FAILED") return failure(picture);
  if (picture.status !== "COMPLETED") return el("li", { class: "card waiting" }, el("p", {}, fileName(picture.source_url), " is waiting"));
  return el(
    "li", { class: "card" },
    picture.outcome === "checked" ? alone(picture) : picture.image_url && compare(picture),
    el("div", { class: "caption" },
      el("p", { class: "name" }, fileName(picture.source_url)),
      el("p", { class: "sizes" }, sizes(picture)),
      el("p", { class: "links" },
        picture.image_url && el("button", { type: "button", class: "link", onclick: enlarge }, "Enlarge", unseen(picture)),
        link(picture.source_url, "Original", picture),
        link(picture.image_url, "Compressed", picture),
        link(picture.human_url, "By your number", picture))),
  );
}

/** A dialog that shows one picture as large as the window allows. */
export function enlarger() {
  const place = el("div");
  const dialog = el("dialog", { class: "enlarged", "aria-label": "Before and after, enlarged" },
    el("form", { method: "dialog" }, el("button", { type: "submit" }, "Close")), place);
  dialog.addEventListener("close", () => place.replaceChildren());
  return {
    dialog,
    /** @param {import("./api.js").Picture} picture */
    open(picture) {
      place.replaceChildren(compare(picture), el("p", { class: "sizes" }, `${fileName(picture.source_url)}: `, sizes(picture)));
      dialog.showModal();
      place.querySelector("input")?.focus();
    },
  };
}

/**
 * The two pictures on top of each other; the slider says how much of the original covers the new one.
 *
 * @param {import("./api.js").Picture} picture
 * @returns {HTMLElement}
 */
function compare(picture) {
  const name = fileName(picture.source_url);
  const before = image("original", picture.source_url, name);
  const after = image("compressed", picture.image_url, name);
  const slider = el("input", {
    type: "range", min: "0", max: "100", value: "50", "aria-label": `${name}: before and after`, oninput: cut,
  });
  const note = el("p", { class: "note", hidden: true });
  const box = el(
    "div", { class: "compare" },
    after, before,
    el("span", { class: "edge", "aria-hidden": "true" }), tag("before", "Before"), tag("after", "After"),
    slider, note,
  );
  box.style.setProperty("--ratio", picture.width / picture.height);
  before.addEventListener("error", () => miss(UNSEEN));
  after.addEventListener("error", () => miss("The compressed picture cannot be loaded."));
  cut();
  return box;

  /** The slider has moved. */
  function cut() {
    box.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % original`);
  }

  /** @param {string} why */
  function miss(why) {
    box.classList.add("alone");
    slider.disabled = true;
    note.hidden = false;
    note.textContent = why;
  }
}

/** @param {import("./api.js").Picture} picture One that was only looked at. @returns {HTMLElement} */
function alone(picture) {
  const before = image("original", picture.source_url, fileName(picture.source_url));
  const box = el("div", { class: "compare whole" }, before);
  before.addEventListener("error", () => box.replaceChildren(el("p", { class: "note" }, UNSEEN)));
  return box;
}

/** @param {"original" | "compressed"} kind @param {string | null} address @param {string} name @returns {HTMLElement} */
function image(kind, address, name) {
  return el("img", {
    class: kind, src: webAddress(address) ?? "", alt: `${name}, ${kind}`,
    loading: "lazy", decoding: "async", referrerpolicy: "no-referrer",
  });
}

/** @param {import("./api.js").Picture} picture @returns {HTMLElement} */
function failure(picture) {
  return el(
    "li", { class: "card failed" },
    el("div", { class: "caption" },
      el("p", { class: "name" }, fileName(picture.source_url)),
      el("p", { class: "why" }, el("strong", {}, reason(picture.error_code))),
      el("p", {}, picture.error_message),
      el("p", { class: "links" }, link(picture.source_url, "Open its address", picture) ?? el("code", {}, picture.source_url))),
  );
}

/** @param {import("./api.js").Picture} picture @returns {(Node | string)[]} */
function sizes(picture) {
  const { bytes_before: before, bytes_after: after } = picture;
  const origin = [REUSED[picture.reused], picture.same_as_row_number && `the same address as in row ${picture.same_as_row_number}`]
    .filter(Boolean).map((words) => `, ${words}`).join("");
  const format = (picture.format ?? "").toUpperCase();
  if (picture.outcome === "checked") return [`${picture.width} × ${picture.height} pixels, ${format}, ${bytes(before)}${origin}`];
  if (picture.outcome === "unchanged") return [`${bytes(before)} to ${bytes(after)}, kept as is: it would not get smaller${origin}`];
  const less = el("strong", { class: "less" }, `−${percentSaved(before, after)}`);
  return [`${bytes(before)} to ${bytes(after)} `, less, ` ${format}${origin}`];
}

function tag(kind, text) {
  return el("span", { class: `tag ${kind}`, "aria-hidden": "true" }, text);
}

/** @returns {HTMLElement | null} Null for what is no address of the web. */
function link(address, label, picture) {
  return webAddress(address) && el("a", { href: webAddress(address), target: "_blank", rel: "noopener noreferrer" }, label, unseen(picture));
}

/** The same words stand beneath every picture; a screen reader gets its name with them. */
function unseen(picture) {
  return el("span", { class: "unseen" }, ` ${fileName(picture.source_url)}`);
}

/** Building the page: elements with text in them, never markup, so that nothing from a sheet can become HTML. */

/**
 * An element. Attributes that are null or false are left out, true is an empty attribute, functions under `onclick` and
 * the like are listeners. Children that are strings become text; null and false are left out.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string | null | false | (Node | string | null | false)[])} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

/**
 * Tell a screen reader something that is seen anyway.
 *
 * @param {string} text
 */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/**
 * The address if it is one of the web, null for every other scheme and for what is no address at all.
 *
 * @param {string | null} text
 * @returns {string | null}
 */
export function webAddress(text) {
  return URL.canParse(text ?? "") && /^https?:$/.test(new URL(text).protocol) ? text : null;
}

/**
 * A heading that takes the focus when its view is shown, and names the page.
 *
 * @param {string} text
 * @returns {HTMLElement}
 */
export function title(text) {
  document.title = `${text} · Image jobs`;
  return el("h1", { tabindex: "-1" }, text);
}

/**
 * What went wrong, said at once to everybody.
 *
 * @param {string} heading What could not be done.
 * @param {Error} error
 * @param {...Node} ways What the person can do now.
 * @returns {HTMLElement}
 */
export function problem(heading, error, ...ways) {
  return el("div", { class: "problem", role: "alert" }, el("strong", {}, heading), el("p", {}, error.message), ...ways);
}

/**
 * A button that cannot be pressed twice while its work goes on.
 *
 * @param {string} label
 * @param {() => Promise<void>} work
 * @param {string} [kind] Its class.
 * @returns {HTMLElement}
 */
export function button(label, work, kind = "") {
  const element = el("button", { type: "button", class: kind, onclick: run }, label);
  async function run() {
    if (element.getAttribute("aria-disabled")) return;
    element.setAttribute("aria-disabled", "true"); // not `disabled`, which would drop the focus
    try {
      await work();
    } finally {
      element.removeAttribute("aria-disabled");
    }
  }
  return element;
}

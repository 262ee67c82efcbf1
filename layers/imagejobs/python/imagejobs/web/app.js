/** Which view the address asks for, and whether somebody is signed in. */

import { Api, ApiError } from "./api.js";
import { button, el, problem } from "./dom.js";
import { forgetToken, keepToken, keptToken } from "./session.js";

/**
 * @typedef {object} View What a view is given.
 * @property {Api} api
 * @property {string} id The job, in a job's view.
 * @property {URLSearchParams} filters What the address says behind `?`.
 * @property {AbortSignal} signal Aborted when the view is left.
 */

const main = document.getElementById("main");
const signOut = document.getElementById("sign-out");

// Loaded when needed, one after the other: each comes with few others, as the API may have few functions that hand them out.
const VIEWS = [
  [/^#\/job\/(?<id>[0-9a-f-]{36})$/, async () => { await import("./progress.js"); await import("./gallery.js"); return import("./job.js"); }],
  [/.*/, async () => { await import("./progress.js"); return import("./home.js"); }],
];

let leaving = new AbortController();

/** Show what the address asks for. */
async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  try {
    await show(signal);
  } catch (error) {
    if (!signal.aborted) refuse(error);
  }
}

/** @param {AbortSignal} signal */
async function show(signal) {
  const token = keptToken();
  signOut.hidden = !token;
  if (!token) return showSignIn("", signal);
  const [path, search = ""] = location.hash.split("?");
  const [pattern, load] = VIEWS.find(([pattern]) => pattern.test(path));
  const id = pattern.exec(path).groups?.id;
  const view = await load();
  if (signal.aborted) return;
  await view.show(main, { api: new Api(token, askAgain), id, filters: new URLSearchParams(search), signal });
}

/** @param {string} complaint @param {AbortSignal} signal */
async function showSignIn(complaint, signal) {
  const view = await import("./signin.js");
  if (signal.aborted) return;
  signOut.hidden = true;
  view.show(main, complaint, async (token, remember) => {
    if (!/^[!-~]+$/.test(token)) throw new ApiError(401, "unauthorized", "");
    await new Api(token).jobs({ limit: 1 });
    keepToken(token, remember);
    route();
  });
}

/** The token was revoked, or the page is that of another stack now. */
function askAgain() {
  forgetToken();
  leaving.abort();
  leaving = new AbortController();
  showSignIn("The token is not valid any more. Sign in with another one.", leaving.signal);
}

/** @param {Error} error What a view could not deal with. */
function refuse(error) {
  const ways = el("p", {}, button("Try again", route), " ", el("a", { href: "#/" }, "All jobs"));
  main.replaceChildren(el("h1", { tabindex: "-1" }, "This did not work"), problem("The page cannot show this", error, ways));
  main.querySelector("h1").focus();
}

signOut.addEventListener("click", () => {
  forgetToken();
  location.hash = "#/";
  route();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address behind # is the view's
  main.focus();
});
window.addEventListener("hashchange", route);
route();

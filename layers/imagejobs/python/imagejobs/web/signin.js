/** Signing in: the caller's token. */

import { announce, el, problem, title } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {string} complaint Why the person is asked again; empty the first time.
 * @param {(token: string, remember: boolean) => Promise<void>} enter Rejects when the token is not let in.
 */
export function show(root, complaint, enter) {
  const token = el("input", {
    id: "token", type: "password", name: "token", required: true, autocomplete: "current-password",
    spellcheck: "false", "aria-describedby": "token-help",
  });
  const remember = el("input", { id: "remember", type: "checkbox", "aria-describedby": "remember-help" });
  const submit = el("button", { type: "submit", class: "primary" }, "Sign in");
  const errors = el("div");
  const heading = title("Sign in");
  const form = el(
    "form", { class: "panel signin", onsubmit },
    el("p", {}, "Compress the pictures of a whole catalogue: give in a CSV with image addresses, get back the finished CSV."),
    el("div", { class: "field" },
      el("label", { for: "token" }, "Token"),
      token,
      el("p", { id: "token-help", class: "help" },
        "Whoever runs this service has given you one. It is sent to this service only, and says whose jobs these are."),
    ),
    el("div", { class: "field check" },
      remember,
      el("label", { for: "remember" }, "Remember it in this browser"),
      el("p", { id: "remember-help", class: "help" },
        "Otherwise it is forgotten when this tab is closed. Leave it off on a computer that others use."),
    ),
    errors,
    submit,
  );
  if (complaint) errors.append(problem("Signed out", new Error(complaint)));
  root.replaceChildren(heading, form);
  (complaint ? token : heading).focus();

  /** @param {SubmitEvent} event */
  async function onsubmit(event) {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled")) return;
    submit.setAttribute("aria-disabled", "true");
    announce("Signing in");
    try {
      await enter(token.value.trim(), remember.checked);
    } catch (error) {
      const wrong = error.status === 401 || error.status === 403;
      const message = wrong ? "This token is not known here. Copy it again in full, or ask whoever runs this service for one." : error.message;
      errors.replaceChildren(problem("Not signed in", new Error(message)));
      token.focus();
    } finally {
      submit.removeAttribute("aria-disabled");
    }
  }
}

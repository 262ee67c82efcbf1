/** The token: in this tab only, or in this browser when the person asks for that. Never in an address. */

const KEY = "imagejobs.token";

/** @returns {string | null} The token that was kept. */
export function keptToken() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
}

/**
 * @param {string} token
 * @param {boolean} remember True keeps it beyond this tab.
 */
export function keepToken(token, remember) {
  forgetToken();
  (remember ? localStorage : sessionStorage).setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** The webhook of a job: every attempt, and sending it again. */

import { announce, button, el, problem } from "./dom.js";
import { until } from "./follow.js";
import { moment } from "./words.js";

const LOOK_AGAIN_SECONDS = 2;
const LOOKS = 10; // an attempt takes a moment; one of hours later is seen when the page is opened again

const OUTCOMES = {
  delivered: "Accepted",
  retry: "Not accepted; it is sent again",
  gone: "The receiver wants no more of it",
  exhausted: "Not accepted; given up",
};

export class Deliveries {
  /** @param {import("./app.js").View} view */
  constructor({ api, id, signal }) {
    Object.assign(this, { api, id, signal });
    this.content = el("div");
    this.trouble = el("div");
    this.again = button("Send it again", () => this.#redeliver(), "");
    this.element = el("section", { "aria-labelledby": "webhook-heading", hidden: true },
      el("h2", { id: "webhook-heading" }, "Webhook"), this.content, this.trouble, el("p", { class: "actions" }, this.again));
  }

  /** Show the attempts, and those of the next moments. @param {number} [expected] Attempts that there should be. */
  async load(expected = 1) {
    for (let look = 0; look < LOOKS; look += 1) {
      const { webhook_url: url, deliveries } = await this.api.deliveries(this.id, this.signal);
      this.element.hidden = url === null;
      this.attempts = deliveries.length;
      this.content.replaceChildren(el("p", {}, "Goes to ", el("code", {}, url ?? "")), table(deliveries));
      if (url === null || (deliveries.length >= expected && deliveries[0].outcome !== "retry")) return;
      if (!(await until(LOOK_AGAIN_SECONDS, this.signal))) return;
    }
  }

  async #redeliver() {
    this.trouble.replaceChildren();
    try {
      await this.api.ask(this.id, "redeliver");
      announce("The webhook is on its way");
      await this.load(this.attempts + 1);
    } catch (error) {
      if (!this.signal.aborted) this.trouble.append(problem("The webhook was not sent again", error));
    }
  }
}

/** @param {import("./api.js").Delivery[]} deliveries @returns {HTMLElement} */
function table(deliveries) {
  if (!deliveries.length) return el("p", { class: "help" }, "No attempt yet.");
  const lines = deliveries.map((delivery) => el("tr", {},
    el("td", {}, moment(delivery.attempted_at)),
    el("td", {}, String(delivery.attempt)),
    el("td", {}, delivery.status_code ? String(delivery.status_code) : "no answer"),
    el("td", {}, OUTCOMES[delivery.outcome] ?? delivery.outcome, delivery.error_message && el("small", {}, ` ${delivery.error_message}`))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attempts" },
    el("table", {},
      el("thead", {}, el("tr", {}, ["When", "Attempt", "Answer", "Outcome"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, lines)));
}

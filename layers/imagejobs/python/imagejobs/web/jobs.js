/** The caller's jobs, newest first. */

import { hasEnded } from "./api.js";
import { button, el, problem } from "./dom.js";
import { until } from "./follow.js";
import { state } from "./progress.js";
import { count, counted, moment, saved } from "./words.js";

const PAGE_JOBS = 20;
const LOOK_AGAIN_SECONDS = 3;

/**
 * @param {import("./api.js").Api} api
 * @param {AbortSignal} signal
 * @returns {{element: HTMLElement, load: () => Promise<void>}}
 */
export function jobList(api, signal) {
  const list = el("ul", { class: "jobs" });
  const more = el("p", { class: "actions" });
  const element = el("section", { "aria-labelledby": "jobs-heading" }, el("h2", { id: "jobs-heading" }, "Jobs so far"), list, more);
  return { element, load };

  /** The newest jobs; again for as long as one of them is open. */
  async function load() {
    try {
      await begin();
    } catch (error) {
      if (!signal.aborted) more.replaceChildren(problem("The jobs did not come", error), button("Look again", load, ""));
    }
  }

  async function begin() {
    const page = await api.jobs({ limit: PAGE_JOBS, signal });
    list.replaceChildren(...page.jobs.map(item));
    if (!page.jobs.length) list.append(el("li", { class: "empty" }, "None yet. The first one begins with a CSV above."));
    offerMore(page.next);
    watch(page.jobs.filter((job) => !hasEnded(job)));
  }

  /** @param {import("./api.js").Job[]} open Their lines are kept up to date, in place. */
  async function watch(open) {
    while (open.length && (await until(LOOK_AGAIN_SECONDS, signal))) {
      const jobs = await Promise.all(open.slice(0, PAGE_JOBS).map((job) => api.status(job.request_id, signal).catch(() => job)));
      for (const job of jobs) {
        const line = list.querySelector(`[data-id="${CSS.escape(job.request_id)}"]`);
        if (line && !line.contains(document.activeElement)) line.replaceWith(item(job));
      }
      open = jobs.filter((job) => !hasEnded(job));
    }
  }

  /** @param {string | null} next */
  function offerMore(next) {
    more.replaceChildren();
    if (next) more.append(button("Earlier jobs", () => extend(next), "quiet"));
  }

  /** @param {string} after */
  async function extend(after) {
    try {
      const page = await api.jobs({ limit: PAGE_JOBS, after, signal });
      const items = page.jobs.map(item);
      list.append(...items);
      offerMore(page.next);
      items[0]?.querySelector("a").focus();
    } catch (error) {
      if (!signal.aborted) more.prepend(problem("The earlier jobs did not come", error));
    }
  }
}

/** @param {import("./api.js").Job} job @returns {HTMLElement} */
function item(job) {
  const { word, kind } = state(job);
  return el(
    "li", { "data-id": job.request_id },
    el("a", { href: `#/job/${job.request_id}` },
      el("span", { class: "when" }, moment(job.created_at)),
      el("span", { class: `badge ${kind}` }, word),
      el("span", { class: "what" }, summary(job)),
      el("code", { class: "id" }, job.request_id.slice(0, 8))),
  );
}

/** @param {import("./api.js").Job} job @returns {string} */
function summary(job) {
  if (job.images === null) return job.error_message ?? "Reading the sheet";
  const pictures = counted(job.images, "picture");
  if (!hasEnded(job)) return `${pictures}, ${job.completion_percentage} % done`;
  if (job.dry_run) return `${pictures}, ${count(job.images_failed)} would fail`;
  const failed = job.images_failed ? `, ${count(job.images_failed)} failed` : "";
  return `${pictures}${failed}, ${saved(job.bytes_before, job.bytes_after)}`;
}

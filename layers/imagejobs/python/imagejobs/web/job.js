/** One job: how far it is, what can be done with it, its pictures and its webhook. */

import { hasEnded } from "./api.js";
import { button, el, problem, title } from "./dom.js";
import { Corrections } from "./corrections.js";
import { Deliveries } from "./deliveries.js";
import { follow, until } from "./follow.js";
import { Gallery } from "./gallery.js";
import { Progress, nameOf, state } from "./progress.js";
import { ways } from "./ways.js";

const REPORT_LOOKS = 30; // a report is there seconds after the job's end, the first one of a quiet day a little later
const REPORT_SECONDS = 2;

/** @param {HTMLElement} root @param {import("./app.js").View} view */
export async function show(root, view) {
  const job = await view.api.status(view.id, view.signal);
  const page = new JobPage(job, view);
  root.replaceChildren(...page.parts); // until now the view before was there
  page.heading.focus();
  await page.run(job);
}

class JobPage {
  /** @param {import("./api.js").Job} job @param {import("./app.js").View} view */
  constructor(job, view) {
    this.view = view;
    this.heading = title(nameOf(job));
    this.badge = el("span", { class: "badge" });
    this.failure = el("div");
    this.trouble = el("div");
    this.actions = el("p", { class: "actions" });
    this.progress = new Progress();
    this.corrections = new Corrections(view, () => this.#again());
    this.gallery = new Gallery(view);
    this.deliveries = new Deliveries(view);
    this.parts = [
      el("p", { class: "crumbs" }, el("a", { href: "#/" }, "All jobs")),
      el("div", { class: "headline" }, this.heading, this.badge, el("code", { class: "id" }, job.request_id)),
      this.progress.element,
      this.failure,
      this.actions,
      this.trouble,
      this.corrections.element,
      this.gallery.element,
      this.deliveries.element,
    ];
  }

  /** Watch the job to its end, then show all of it. @param {import("./api.js").Job} job */
  async run(job) {
    this.#update(job);
    if (!hasEnded(job)) {
      const { api, id, signal } = this.view;
      for await (const seen of follow(api, id, signal, () => this.gallery.wantsEarly)) {
        if (signal.aborted) return;
        if (seen.lost) this.progress.lose(seen.lost);
        else this.#update((job = seen.job));
        this.gallery.addEarly(seen.pictures);
      }
      if (!hasEnded(job)) return;
    }
    await Promise.all([this.gallery.showAll(job), this.deliveries.load(), this.#awaitReport(job)]);
  }

  /** @param {import("./api.js").Job} job That has ended. */
  async #awaitReport(job) {
    if (job.dry_run) return; // has none
    const { api, id, signal } = this.view;
    for (let look = 0; !job.report_url && look < REPORT_LOOKS && (await until(REPORT_SECONDS, signal)); look += 1) {
      const seen = await api.status(id, signal).catch(() => job);
      if (signal.aborted || !hasEnded(seen)) return; // left, or at work again
      this.#update((job = seen));
    }
  }

  #update(job) {
    const { word, kind } = state(job);
    this.badge.textContent = word;
    this.badge.className = `badge ${kind}`;
    this.progress.show(job);
    const failed = word === "Failed";
    if (failed !== this.failure.hasChildNodes()) {
      this.failure.replaceChildren(...(failed ? [problem("The job failed", new Error(job.error_message ?? "Nobody said why."))] : []));
    }
    this.corrections.offer(hasEnded(job) && Boolean(job.failures_url) && !job.dry_run);
    this.#offer(ways(this.view, job, () => this.#again()));
  }

  /** What is wanted still stays as it is, with the focus. */
  #offer(wanted) {
    const shown = new Map([...this.actions.children].map((element) => [element.textContent, element]));
    wanted.forEach(([label, work, kind], place) => {
      if (shown.delete(label)) return;
      const way = work ? button(label, () => this.#try(label, work), kind) : el("a", { href: "#/" }, label);
      this.actions.insertBefore(way, this.actions.children[place] ?? null);
    });
    for (const element of shown.values()) element.remove();
  }

  async #again() {
    this.heading.focus();
    this.gallery.clear();
    await this.run(await this.view.api.status(this.view.id, this.view.signal)).catch((error) => this.#complain("Watching the job", error));
  }

  async #try(label, work) {
    this.trouble.replaceChildren();
    try {
      await work();
    } catch (error) {
      this.#complain(label, error);
    }
  }

  #complain(label, error) {
    if (!this.view.signal.aborted) this.trouble.replaceChildren(problem(`${label}: this did not work`, error));
  }
}

/** One job: how far it is, what can be done with it, its pictures and its webhook. */

import { hasEnded } from "./api.js";
import { announce, button, chosenFile, el, problem, title } from "./dom.js";
import { Deliveries } from "./deliveries.js";
import { follow } from "./follow.js";
import { Gallery } from "./gallery.js";
import { Progress, state } from "./progress.js";
import { momentText } from "./words.js";

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
    this.heading = title(`Job of ${momentText(job.created_at)}`);
    this.badge = el("span", { class: "badge" });
    this.trouble = el("div");
    this.actions = el("p", { class: "actions" });
    this.progress = new Progress();
    this.gallery = new Gallery(view);
    this.deliveries = new Deliveries(view);
    this.parts = [
      el("p", { class: "crumbs" }, el("a", { href: "#/" }, "All jobs")),
      el("div", { class: "headline" }, this.heading, this.badge, el("code", { class: "id" }, job.request_id)),
      this.progress.element,
      this.trouble,
      this.actions,
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
    await Promise.all([this.gallery.showAll(job), this.deliveries.load()]);
  }

  #update(job) {
    const { word, kind } = state(job);
    this.badge.textContent = word;
    this.badge.className = `badge ${kind}`;
    this.progress.show(job);
    this.trouble.replaceChildren();
    if (job.status === "FAILED" && kind === "bad" && word === "Failed") {
      this.trouble.append(problem("The job failed", new Error(job.error_message ?? "Nobody said why.")));
    }
    const wanted = this.#wanted(job);
    const shown = [...this.actions.children].map((element) => element.textContent);
    if (wanted.map(([label]) => label).join() !== shown.join()) {
      this.actions.replaceChildren(...wanted.map(([label, work, kind]) => button(label, () => this.#try(label, work), kind)));
    }
  }

  /** @returns {[string, () => Promise<void>, string][]} What can be done with the job now. */
  #wanted(job) {
    const { api, id } = this.view;
    if (!hasEnded(job)) {
      return [["Cancel the job", async () => { await api.ask(id, "cancel"); announce("The job is being cancelled"); }, "quiet"]];
    }
    const retry = async () => { await api.ask(id, "retry"); this.#again(); };
    return [
      job.result_url && [job.dry_run ? "Download what was found" : "Download the finished CSV", () => this.#download("result"), "primary"],
      job.failures_url && ["Download the failures", () => this.#download("failures.csv"), ""],
      job.failures_url && ["Send the failures corrected", () => this.#correct(), ""],
      job.report_url && ["Open the report", () => this.#download("report.html"), ""],
      job.images_failed && ["Try the failed pictures again", retry, ""],
    ].filter(Boolean);
  }

  async #again() {
    this.heading.focus();
    this.gallery.clear();
    await this.run(await this.view.api.status(this.view.id, this.view.signal)).catch((error) => this.#complain("Watching the job", error));
  }

  /** The failures as they were downloaded, with better cells. */
  async #correct() {
    const file = await chosenFile();
    if (!file) return;
    await this.view.api.correct(this.view.id, file);
    this.#again();
  }

  /** @param {"result" | "failures.csv" | "report.html"} name */
  async #download(name) {
    const { url } = await this.view.api.link(this.view.id, name);
    location.assign(url); // it comes as a file, so this page stays
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

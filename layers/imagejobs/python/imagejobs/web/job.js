/** One job: how far it is, what can be done with it, its pictures and its webhook. */

import { hasEnded } from "./api.js";
import { announce, button, el, problem, title } from "./dom.js";
import { Corrections } from "./corrections.js";
import { Deliveries } from "./deliveries.js";
import { follow, until } from "./follow.js";
import { Gallery } from "./gallery.js";
import { findings } from "./preflight.js";
import { Progress, state } from "./progress.js";
import { runOf } from "./submission.js";
import { listed, momentText } from "./words.js";

const REPORT_LOOKS = 10; // a report is there seconds after the job's end
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
    this.heading = title(`${job.dry_run ? "Check" : "Job"} of ${momentText(job.created_at)}`);
    this.badge = el("span", { class: "badge" });
    this.failure = el("div");
    this.trouble = el("div");
    this.actions = el("p", { class: "actions" });
    this.sheet = el("p", { class: "help sheet" });
    this.findings = el("div");
    this.progress = new Progress();
    this.corrections = new Corrections(view, () => this.#try("Download the failures", () => this.#download("failures.csv")), () => this.#again());
    this.gallery = new Gallery(view);
    this.deliveries = new Deliveries(view);
    this.parts = [
      el("p", { class: "crumbs" }, el("a", { href: "#/" }, "All jobs")),
      el("div", { class: "headline" }, this.heading, this.badge, el("code", { class: "id" }, job.request_id)),
      this.progress.element,
      this.sheet,
      this.failure,
      this.actions,
      this.trouble,
      this.corrections.element,
      this.findings,
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
    this.sheet.textContent = job.sheet ? sheetWords(job.sheet) : "";
    const failed = word === "Failed";
    if (failed !== this.failure.hasChildNodes()) {
      this.failure.replaceChildren(...(failed ? [problem("The job failed", new Error(job.error_message ?? "Nobody said why."))] : []));
    }
    this.corrections.offer(hasEnded(job) && Boolean(job.failures_url) && !job.dry_run);
    if (Boolean(job.preflight) !== this.findings.hasChildNodes()) {
      this.findings.replaceChildren(...(job.preflight ? [findings(job.preflight)] : []));
    }
    this.#offer(this.#wanted(job));
  }

  /** Buttons stay as they are, with the focus, while the same ones are wanted. */
  #offer(wanted) {
    const shown = [...this.actions.children].map((element) => element.textContent);
    if (wanted.map(([label]) => label).join() === shown.join()) return;
    this.actions.replaceChildren(...wanted.map(([label, work, kind]) =>
      work ? button(label, () => this.#try(label, work), kind) : el("a", { href: "#/" }, label)));
  }

  /** @returns {[string, (() => Promise<void>) | null, string][]} What can be done with the job now. */
  #wanted(job) {
    const { api, id } = this.view;
    if (!hasEnded(job)) {
      return [["Cancel the job", async () => { await api.ask(id, "cancel"); announce("The job is being cancelled"); }, "quiet"]];
    }
    const retry = async () => { await api.ask(id, "retry"); this.#again(); };
    const report = job.report_url && ["Open the report", () => this.#openReport(), ""];
    if (job.dry_run) {
      const run = runOf(id);
      return [
        run ? ["Compress these pictures", async () => { location.hash = `#/job/${await run.send(api)}`; }, "primary"]
          : ["Choose the file again to compress its pictures", null, ""],
        job.result_url && ["Download what was found", () => this.#download("result"), ""],
        report,
        job.images_failed && ["Check the failed pictures again", retry, ""],
      ].filter(Boolean);
    }
    return [
      job.result_url && ["Download the finished CSV", () => this.#download("result"), "primary"],
      report,
      job.images_failed && ["Try the failed pictures again", retry, ""],
    ].filter(Boolean);
  }

  async #again() {
    this.heading.focus();
    this.gallery.clear();
    await this.run(await this.view.api.status(this.view.id, this.view.signal)).catch((error) => this.#complain("Watching the job", error));
  }

  /** @param {"result" | "failures.csv"} name */
  async #download(name) {
    const { url } = await this.view.api.link(this.view.id, name);
    location.assign(url); // it comes as a file, so this page stays
  }

  async #openReport() {
    const tab = window.open(); // at the press itself, or the browser would keep it from opening
    try {
      const { url } = await this.view.api.link(this.view.id, "report.html");
      if (tab) tab.location.replace(url);
      else location.assign(url);
    } catch (error) {
      tab?.close();
      throw error;
    }
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

const COLUMN_SEPARATORS = { comma: "commas", semicolon: "semicolons", tab: "tabs" };
const URL_SEPARATORS = { ",": "commas", "|": "upright strokes", ";": "semicolons", "\n": "line breaks" };

/** @param {import("./api.js").Sheet} sheet @returns {string} How it was read. */
function sheetWords({ columns, column_separator: separator, url_separators: found }) {
  const within = found.length ? `, addresses within a cell by ${listed(found.map((each) => URL_SEPARATORS[each]))}` : "";
  return `Read from the columns ${listed([columns.id, columns.name, ...columns.urls].map((name) => `“${name}”`))}; ` +
    `cells separated by ${COLUMN_SEPARATORS[separator]}${within}.`;
}

/** The pictures of a job that a filter lets through, a screenful at a time. */

const FIRST_IMAGES = 100; // soon there
const FURTHER_IMAGES = 500; // the most that the API answers at once
const MAX_PAGES = 10; // of one search, before the person is asked whether to go on

export class Pages {
  /**
   * @param {import("./api.js").Api} api
   * @param {string} id
   * @param {string | null} status Asked of the API.
   * @param {(picture: import("./api.js").Picture) => boolean} matches Asked of each picture here.
   * @param {AbortSignal} signal
   */
  constructor(api, id, status, matches, signal) {
    Object.assign(this, { api, id, status, matches, signal });
    /** @type {import("./api.js").Picture[]} */
    this.waiting = [];
    this.after = null;
    this.searched = 0;
    this.exhausted = false;
  }

  /** True when nothing is left to show. */
  get done() {
    return this.exhausted && this.waiting.length === 0;
  }

  /** @param {number} wanted @returns {Promise<import("./api.js").Picture[]>} The next ones, in the sheet's order; fewer when there are no more. */
  async take(wanted) {
    for (let pages = 0; this.waiting.length < wanted && !this.exhausted && pages < MAX_PAGES; pages += 1) await this.#fetch();
    return this.waiting.splice(0, wanted);
  }

  async #fetch() {
    const { after, status, signal } = this;
    const page = await this.api.images(this.id, { after, status, signal, limit: after ? FURTHER_IMAGES : FIRST_IMAGES });
    this.waiting.push(...page.images.filter(this.matches));
    this.searched += page.images.length;
    this.after = page.next;
    this.exhausted = page.next === null;
  }
}

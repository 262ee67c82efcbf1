/** Watching an open job without asking too often. */

import { hasEnded } from "./api.js";

const ASK_AGAIN_SECONDS = 1;
const HIDDEN_SECONDS = 10;
const LOST_SECONDS = 3;

/**
 * Wait, longer while nobody looks.
 *
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} False when the view was left meanwhile.
 */
export function until(seconds, signal) {
  const patience = document.hidden ? Math.max(seconds, HIDDEN_SECONDS) : seconds;
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(!signal.aborted), patience * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(false); }, { once: true });
  });
}

/**
 * An open job until it has ended, with the pictures that were done since the last time.
 *
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @param {AbortSignal} signal
 * @param {() => boolean} wantsPictures Once it says no, the job alone is asked for.
 * @yields {{job?: import("./api.js").Job, pictures: import("./api.js").Picture[], lost?: Error}} `lost` when the service did
 *   not answer; it is asked again.
 */
export async function* follow(api, id, signal, wantsPictures) {
  let after = null;
  let seconds;
  do {
    try {
      const seen = wantsPictures() ? await api.events(id, { after, signal }) : { job: await api.status(id, signal), images: [] };
      after = seen.next ?? after;
      yield { job: seen.job, pictures: seen.images };
      if (hasEnded(seen.job)) return;
      seconds = ASK_AGAIN_SECONDS;
    } catch (error) {
      if (signal.aborted) return;
      if (!error.passing) throw error;
      yield { pictures: [], lost: error };
      seconds = Math.max(error.retryAfterSeconds, LOST_SECONDS);
    }
  } while (await until(seconds, signal));
}

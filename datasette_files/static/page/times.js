/**
 * Shows each <time> in the reader's own time zone and manner, and how long ago it was where that
 * says more than a date. The exact moment, local and in UTC, is its title.
 *
 * Without this module the page holds the same in UTC. Other modules tell of new content by the
 * event `datasette-files-shown`.
 */

const DAY = 24 * 60 * 60;
/** Seconds in each unit, the largest that is used first. */
const UNITS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ["day", DAY],
  ["hour", 60 * 60],
  ["minute", 60],
]);

const language = document.documentElement.lang || undefined;
// Always in numbers: "yesterday" is a day of the calendar, and 47 hours ago may be the day before.
const ago = new Intl.RelativeTimeFormat(language);
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/**
 * @param {Date} moment @param {Date} now
 * @returns {string} A week back in words, else the day.
 */
function described(moment, now) {
  const seconds = (now.getTime() - moment.getTime()) / 1000;
  // A clock that is a little behind the server's is no reason to speak of the future.
  if (seconds < -60 || seconds >= 7 * DAY) return date.format(moment);
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return ago.format(-Math.floor(seconds / length), unit);
  }
  return "just now";
}

/** @param {ParentNode} root */
function localise(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("main time[datetime]")) {
    const moment = new Date(time.dateTime);
    // What another tool wrote into the catalog may be no time: it stays as it is.
    if (Number.isNaN(moment.getTime())) continue;
    const utc = `${time.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    time.title = `${exact.format(moment)} (${utc})`;
    time.textContent = described(moment, now);
  }
}

localise(document);
document.addEventListener("datasette-files-shown", () => localise(document));

// Keys of one letter, which can be turned off, and the help that lists them.

import { byId, element } from "./dom.js";
import { load, save } from "./settings.js";

const groups = [];
const bound = new Map();
let on = load("keys", "on") === "on";

/** Bind keys under a heading of the help: [key, what it does, work, only for the help?]. */
export function bind(heading, keys) {
  groups.push([heading, keys]);
  for (const [key, , work] of keys) if (work) bound.set(key, work);
}

/** Where letters are typed, or a list is chosen from, they belong there. */
function typing(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

export function showHelp() {
  byId("keys-list").replaceChildren(
    ...groups.flatMap(([heading, keys]) => [
      element("h3", "", heading),
      element("dl", "", keys.map(([key, what]) => element("div", "", [element("dt", "", element("kbd", "", key === " " ? "Space" : key)), element("dd", "", what)]))),
    ]),
  );
  byId("keys-on").checked = on;
  byId("keys").showModal();
}

export function startKeys() {
  byId("help").addEventListener("click", showHelp);
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  byId("keys-on").addEventListener("change", (event) => {
    on = event.target.checked;
    save("keys", on ? "on" : "off");
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && typing(event.target)) {
      event.target.blur();
      return;
    }
    if (typing(event.target)) return;
    const named = event.key === "Escape" || event.key === "?";
    if (!on && !named) return;
    // A button's or link's own Space stays its own.
    if (event.key === " " && event.target.closest("button, a, summary")) return;
    const work = bound.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!work) return;
    event.preventDefault();
    work();
  });
}

// One patient's tile in the overview. It is built once and then only texts change.

import { element, setAttribute, setText } from "./dom.js";
import { span, value } from "./format.js";
import { classes, colour, limitText, place, words } from "./marks.js";
import { draw } from "./spark.js";
import * as store from "./store.js";
import { colours } from "./theme.js";

/** An older value is shown as such: a cuff's, or one that no longer comes. */
const FRESH_MS = 60_000;
/** An older value is not shown. */
const FORGOTTEN_MS = 3_600_000;
const SPARK_EVERY_MS = 2000;

const PRIMARY = ["hr", "spo2", "rr"];

function reading(name, label, lesser = "") {
  const shown = element("span", "value", "–");
  const since = element("span", "since");
  const node = element("span", `vital ${name} absent ${lesser}`, [element("span", "name", [label, since]), " ", shown]);
  return { node, shown, since };
}

export class Tile {
  constructor(patient) {
    this.key = patient.key;
    this.bed = element("span", "bed");
    this.ward = element("span", "label");
    this.label = element("span", "label pseudonym");
    this.mark = element("span", "mark");
    this.mark.hidden = true;
    this.readings = {
      hr: reading("hr", "HR"),
      spo2: reading("spo2", "SpO2"),
      rr: reading("rr", "RR"),
      bp: reading("bp", "BP"),
      temp: reading("temp", "T", "optional"),
      etco2: reading("etco2", "CO2", "optional"),
    };
    const { hr, spo2, rr, bp, temp, etco2 } = this.readings;
    this.canvas = element("canvas", "", [], { "aria-hidden": "true" });
    this.sparkName = element("span", "spark-name", "", { "aria-hidden": "true" });
    this.limit = element("span", "limit");
    this.age = element("span", "age");
    this.gone = element("span", "gone");
    this.link = element(
      "a",
      "",
      [
        element("span", "head", [this.bed, this.ward, this.label, this.mark, this.age]),
        element("span", "numbers", [hr.node, spo2.node, rr.node]),
        element("span", "numbers lesser", [bp.node, temp.node, etco2.node]),
        element("span", "bottom", [this.limit, this.sparkName, element("span", "spark", this.canvas)]),
        this.gone,
      ],
      { href: `#patient/${patient.key}`, tabindex: "-1" },
    );
    this.node = element("li", "tile", this.link, { "data-key": patient.key });
    this.node.tile = this;
    this.visible = false;
    this.drawn = 0;
  }

  /** Write what has changed. Only tiles on the screen are asked to. */
  update(patient, now) {
    setText(this.bed, place(patient));
    // Several wards may have a bed of that number.
    setText(this.ward, patient.bed && store.wards().length > 1 ? patient.ward : "");
    setText(this.label, patient.bed ? patient.label : "");
    const worst = store.worst(patient);
    this.mark.hidden = worst === null;
    if (worst) {
      setAttribute(this.mark, "class", classes(worst));
      setText(this.mark, words(worst));
      setText(this.limit, limitText(worst, patient));
    } else {
      setText(this.limit, "");
    }
    setAttribute(this.node, "data-worst", worst ? (store.isActive(worst) ? colour(worst) : "over") : null);
    for (const name of PRIMARY) this.#value(name, patient.vitals[name], now);
    this.#pressure(patient.vitals, now);
    this.#value("temp", patient.vitals.temp, now);
    this.#value("etco2", patient.vitals.etco2, now);
    this.#state(patient, now);
    const due = patient.spark !== this.spark || performance.now() - this.drawn > SPARK_EVERY_MS;
    if (due) this.drawSpark(patient);
  }

  drawSpark(patient) {
    // Where tiles are small there is no room for it, and hundreds of canvases would cost much.
    if (!patient.spark || this.node.parentElement?.dataset.density === "small") return;
    this.drawn = performance.now();
    this.spark = patient.spark;
    const vital = store.vitals.get(patient.spark.vital);
    setText(this.sparkName, vital?.label ?? "");
    setAttribute(this.sparkName, "class", `spark-name ${patient.spark.vital}`);
    draw(this.canvas, patient.spark, colours(patient.spark.vital));
  }

  #state(patient, now) {
    const age = patient.last_ms ? now - patient.last_ms : Infinity;
    const nothing = hasNoData(patient, now);
    this.node.classList.toggle("no-data", nothing);
    setText(this.gone, nothing ? "NO DATA" : "");
    setText(this.age, age === Infinity ? "never" : span(age));
  }

  #value(name, latest, now) {
    const age = latest ? now - latest.at_ms : Infinity;
    const decimals = store.vitals.get(name)?.decimals ?? 0;
    this.#write(name, age < FORGOTTEN_MS ? value(latest.v, decimals) : "–", age);
  }

  #pressure({ sbp, dbp, map }, now) {
    const known = sbp ?? map;
    const age = known ? now - known.at_ms : Infinity;
    let text = "–";
    if (age < FORGOTTEN_MS) text = sbp ? `${value(sbp.v)}/${dbp ? value(dbp.v) : "–"}` : `(${value(map.v)})`;
    this.#write("bp", text, age);
  }

  #write(name, text, age) {
    const { node, shown, since } = this.readings[name];
    setText(shown, text);
    node.classList.toggle("absent", text === "–");
    const old = text !== "–" && age > FRESH_MS;
    node.classList.toggle("old", old);
    setText(since, old ? short(age) : "");
  }
}

/** How old a value is, in as little room as there is: "12m". */
const short = (age) => `${Math.round(age / 60_000)}m`;

/** No reading for a minute, or the server says that the signal is lost. */
export function hasNoData(patient, now) {
  return patient.state === "no_data" || !patient.last_ms || now - patient.last_ms > FRESH_MS;
}

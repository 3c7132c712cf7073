/*
 * The page of the daemon: asks for the documents beside it and draws them.
 *
 * A turn a second: stats, clients and locks; the map each five seconds.  What
 * the charts show begins when the page is opened; rates are differences of two
 * answers.  While the page is hidden, or paused, nothing is asked.
 */
(function () {
"use strict";

const PERIOD_MS = 1000;
const MAP_MS = 5000;
const PATIENCE_MS = 5000;
/* A walk of gigabytes takes its time. */
const MAP_PATIENCE_MS = 60000;
const POINTS = 300;
const WINDOW = 10;
const EVENTS = 20;
const CHART_HEIGHT = 180;
const ABSENT = "–";

const $ = (id) => document.getElementById(id);

/* A colour of page.css, as the scheme has it now. */
const color = (name) =>
	getComputedStyle(document.documentElement)
		.getPropertyValue("--" + name).trim();

/* ---- How values look ----------------------------------------------------- */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function bytes(n) {
	if (n === null || n === undefined)
		return ABSENT;
	let unit = 0;
	while (n >= 1024 && unit < UNITS.length - 1) {
		n /= 1024;
		unit++;
	}
	return (unit === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)) + " " +
	    UNITS[unit];
}

function count(n) {
	if (n === null || n === undefined)
		return ABSENT;
	if (n < 10000)
		return Number.isInteger(n) ? String(n) : n.toFixed(1);
	for (const unit of ["k", "M", "G", "T"]) {
		n /= 1000;
		if (n < 1000)
			return (n < 100 ? n.toFixed(1) : n.toFixed(0)) + unit;
	}
	return n.toFixed(0) + "T";
}

const rate = (n) => n === null ? ABSENT : count(Math.round(n * 10) / 10) + "/s";

const percent = (x) =>
	x === null || x === undefined ? ABSENT : (x * 100).toFixed(1) + " %";

function duration(seconds) {
	if (seconds === null || seconds === undefined)
		return ABSENT;
	for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60]])
		if (seconds >= 2 * length)
			return Math.floor(seconds / length) + " " + unit;
	return Math.max(0, Math.floor(seconds)) + " s";
}

const seconds = (x) =>
	x === null || x === undefined ? ABSENT : x.toFixed(3) + " s";

/* How long something takes. */
function short_time(x) {
	if (x === null || x === undefined)
		return ABSENT;
	for (const [unit, length] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]])
		if (x >= length)
			return Number((x / length).toPrecision(3)) + " " + unit;
	return Number((x * 1e9).toPrecision(3)) + " ns";
}

/* Put VALUE into the element ID as FORMAT writes it, and as it is. */
function put(id, value, format) {
	const element = $(id);
	element.textContent = format(value);
	element.dataset.value = value === null ? "" : String(value);
}

/* An element TAG with text and attributes. */
function make(tag, text, attributes) {
	const element = document.createElement(tag);
	if (text !== undefined && text !== null)
		element.textContent = text;
	for (const name in attributes)
		element.setAttribute(name, attributes[name]);
	return element;
}

const SVG = "http://www.w3.org/2000/svg";

function swatch(width, height, shape, attributes) {
	const svg = document.createElementNS(SVG, "svg");
	const inner = document.createElementNS(SVG, shape);
	svg.setAttribute("width", width);
	svg.setAttribute("height", height);
	svg.setAttribute("aria-hidden", "true");
	for (const name in attributes)
		inner.setAttribute(name, attributes[name]);
	svg.append(inner);
	return svg;
}

/* ---- Charts -------------------------------------------------------------- */

/* Lines differ by their dashes, too. */
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4]];

/*
 * A chart in the element ID: values_of(stats, before, seconds) gives what is
 * added to each line, by name; null is a gap.  FORMAT writes values; MOST is
 * the top of the scale, or null for that of the values; with IS_LOG it has a
 * line for each power of ten.
 */
class Chart {
	constructor(id, format, most, values_of, is_log) {
		this.root = $(id);
		this.format = format;
		this.most = most;
		this.values_of = values_of;
		this.is_log = is_log === true;
		/* Of bytes, powers of two. */
		this.steps = format === bytes
		    ? [...Array(50).keys()].map((i) => 2 ** i) : undefined;
		this.plot = null;
		this.keys = make("ul", null, { class: "keys" });
		this.root.after(this.keys);
		new ResizeObserver(() => this.resize()).observe(this.root);
		this.clear();
	}

	clear() {
		this.names = [];
		this.times = [];
		this.lines = [];
		this.destroy();
	}

	destroy() {
		if (this.plot !== null)
			this.plot.destroy();
		this.plot = null;
	}

	add(time, values) {
		const names = Object.keys(values);
		if (names.join() !== this.names.join()) {
			this.clear();
			this.names = names;
			this.lines = names.map(() => []);
		}
		this.times.push(time);
		names.forEach((name, i) => this.lines[i].push(values[name]));
		if (this.times.length > POINTS) {
			this.times.shift();
			this.lines.forEach((line) => line.shift());
		}
		this.draw();
	}

	draw() {
		if (this.times.length === 0 || this.root.clientWidth === 0)
			return;
		if (this.plot === null)
			this.plot_make();
		this.plot.setData([this.times, ...this.lines]);
		/* One point alone would get an axis of days. */
		if (this.times.length === 1)
			this.plot.setScale("x", { min: this.times[0],
				max: this.times[0] + 10 });
		this.keys_put(this.times.length - 1);
	}

	plot_make() {
		const axis = { stroke: color("soft"),
			grid: { stroke: color("grid"), width: 1 },
			ticks: { stroke: color("line"), width: 1 } };
		const most = this.most;
		this.plot = new uPlot({
			width: this.root.clientWidth,
			height: CHART_HEIGHT,
			legend: { show: false },
			cursor: { y: false, drag: { x: false, y: false } },
			scales: { y: this.is_log
			    ? { distr: 3, range: (u, min, max) => [
				10 ** Math.floor(Math.log10(min > 0 ? min : 1e-7)),
				10 ** Math.ceil(Math.log10(max > 0 ? max : 1e-5)) ] }
			    : { range: (u, min, max) => [0,
				most !== null ? most : max > 0 ? max * 1.1 : 1] } },
			axes: [
				Object.assign({ size: 32, space: 90,
				    values: (u, splits) => splits.map(clock) },
				    axis),
				Object.assign({ size: 72, incrs: this.steps,
				    values: (u, splits) => splits.map((v) =>
					v === null || !this.is_tick(v)
					    ? "" : this.format(v)) },
				    axis),
			],
			series: [{}].concat(this.names.map((name, i) => ({
				label: name,
				stroke: color("s" + i % 6),
				dash: DASHES[i % DASHES.length],
				width: 2,
				points: { show: false },
			}))),
			hooks: { setCursor: [(u) => this.keys_put(
			    u.cursor.idx === null || u.cursor.idx === undefined
				? this.times.length - 1 : u.cursor.idx)] },
		}, [this.times, ...this.lines], this.root);
		this.plot.root.setAttribute("role", "img");
		this.keys_make();
	}

	/* Of a logarithmic scale the powers of ten. */
	is_tick(v) {
		const power = Math.log10(v);
		return !this.is_log || Math.abs(power - Math.round(power)) < 1e-6;
	}

	keys_make() {
		this.keys.replaceChildren(...this.names.map((name, i) => {
			const key = make("li"), value = make("b");
			key.append(swatch(28, 8, "line", { x1: 0, y1: 4, x2: 28,
				y2: 4, "stroke-width": 2.5,
				stroke: color("s" + i % 6),
				"stroke-dasharray": DASHES[i % 6].join(" ") }),
			    name + " ", value);
			return key;
		}));
	}

	/* What the lines are at point I. */
	keys_put(i) {
		const words = this.names.map((name, line) => {
			const value = this.lines[line][i];
			const text = value === null || value === undefined
			    ? ABSENT : this.format(value);
			this.keys.children[line].lastChild.textContent = text;
			return name + " " + text;
		});
		if (this.plot !== null)
			this.plot.root.setAttribute("aria-label", words.join(", "));
	}

	resize() {
		if (this.plot !== null)
			this.plot.setSize({ width: this.root.clientWidth,
				height: CHART_HEIGHT });
	}
}

const clock = (t) => new Date(t * 1000).toLocaleTimeString("en-GB");

/*
 * The quantile Q of what the histogram NOW has that BEFORE, an older answer's,
 * had not; null if there is nothing.
 */
function quantile(now, before, q) {
	const old = new Map(
	    (before?.buckets ?? []).map((b) => [b.below_seconds, b.n]));
	const fresh = now.buckets.map((b) => [b.below_seconds,
	    Math.max(0, b.n - (old.get(b.below_seconds) ?? 0))]);
	let left = q * fresh.reduce((sum, [, n]) => sum + n, 0);
	for (const [below, n] of fresh) {
		left -= n;
		if (n > 0 && left <= 0)
			return below;
	}
	return null;
}

/* The difference of a counter a second; null where it began anew. */
const differ = (now, before, seconds) =>
	before === undefined || now < before ? null : (now - before) / seconds;

const free_of = (b) => b.free_binned + b.free_fast + b.free_top + b.extents_free;

const REASONS = ["full", "fragmented", "quota", "too_large", "reader", "system"];

const charts = [
	new Chart("memory", bytes, null, (s) => ({
		"in use": s.bytes.allocated,
		"free": free_of(s.bytes),
		"in caches": s.bytes.cached,
		"resident": s.bytes.resident,
	})),
	new Chart("rates", rate, null, (s, before, dt) => ({
		"allocations": differ(
		    s.activity.allocs, before?.activity.allocs, dt),
		"frees": differ(s.activity.frees, before?.activity.frees, dt),
	})),
	new Chart("failures", rate, null, (s, before, dt) =>
		Object.fromEntries(REASONS.map((reason) =>
		    [reason.replace("_", " "), differ(s.failures[reason],
			before?.failures[reason], dt)]))),
	new Chart("fragmentation", percent, 1, (s) =>
		Object.fromEntries(s.fragmentation.unusable.map((u) =>
		    [bytes(u.size_bytes).replace(".0 ", " "), u.ratio]))),
	new Chart("latency", short_time, null, (s) =>
		Object.fromEntries(s.latency.map((now, i) =>
		    [now.operation.replace("_", " "),
			quantile(now, past[0]?.latency[i], 0.99)])), true),
];

/* ---- Shared caches ------------------------------------------------------- */

/* As many as the charts have colours. */
const CACHES = 6;

const caches_of = (stats) => stats?.caches ?? [];

/* What the cache NOW was when the oldest of the last answers was made. */
const cache_before = (now) =>
	caches_of(past[0]).find((cache) => cache.cache === now.cache &&
	    cache.created === now.created);

/* Its hits of all look-ups of late; null if there were none. */
function hit_ratio(now) {
	const old = cache_before(now);
	const hits = now.hits - (old?.hits ?? now.hits);
	const all = hits + now.misses - (old?.misses ?? now.misses);
	return all > 0 ? hits / all : null;
}

charts.push(new Chart("hit-ratios", percent, 1, (s) =>
	Object.fromEntries(caches_of(s).slice(0, CACHES).map((cache) =>
	    [cache.cache, hit_ratio(cache)]))));

/* ---- Tables -------------------------------------------------------------- */

/*
 * A table in the element ID, sorted by the column whose head is pressed.  A
 * column has a title, the value of a row, how it looks, and its class.
 */
class Table {
	constructor(id, columns, row_class) {
		this.columns = columns;
		this.row_class = row_class;
		this.by = null;
		this.down = true;
		this.rows = [];
		const head = make("tr");
		this.heads = columns.map((column) => {
			const th = make("th", null, { scope: "col",
				class: column.class || "" });
			const button = make("button", column.title,
			    { type: "button" });
			button.addEventListener("click", () => this.sort(column));
			th.append(button);
			head.append(th);
			return th;
		});
		this.body = make("tbody");
		const thead = make("thead");
		thead.append(head);
		$(id).append(thead, this.body);
	}

	sort(column) {
		this.down = this.by === column ? !this.down : true;
		this.by = column;
		this.draw();
	}

	put(rows) {
		this.rows = rows;
		this.draw();
	}

	sorted() {
		if (this.by === null)
			return this.rows;
		const sign = this.down ? -1 : 1, value = this.by.value;
		return [...this.rows].sort((a, b) => {
			const x = value(a) ?? -Infinity, y = value(b) ?? -Infinity;
			return x < y ? -sign : x > y ? sign : 0;
		});
	}

	draw() {
		this.columns.forEach((column, i) => {
			this.heads[i].setAttribute("aria-sort",
			    this.by !== column ? "none"
			    : this.down ? "descending" : "ascending");
			this.heads[i].firstChild.textContent = column.title +
			    (this.by !== column ? "" : this.down ? " ▾" : " ▴");
		});
		this.body.replaceChildren(...this.sorted().map((row) => {
			const tr = make("tr", null,
			    { class: this.row_class(row) });
			for (const column of this.columns) {
				const value = column.value(row);
				tr.append(make("td", column.look(value),
				    { class: column.class || "",
					"data-value": value ?? "" }));
			}
			return tr;
		}));
		if (this.rows.length === 0) {
			const tr = make("tr");
			tr.append(make("td", "none",
			    { colspan: this.columns.length }));
			this.body.append(tr);
		}
	}
}

const text = (value) => value ?? ABSENT;

function failures_of(client) {
	let sum = 0;
	for (const reason of REASONS)
		sum += client.failures?.[reason] ?? 0;
	return sum;
}

let server_time = 0;

const clients = new Table("clients", [
	{ title: "PID", value: (c) => c.pid, look: text, class: "n" },
	{ title: "Command", value: (c) => c.command, look: text },
	{ title: "Label", value: (c) => c.label, look: text, class: "less" },
	{ title: "State", value: (c) => c.state, look: text },
	{ title: "Since", value: (c) => c.ended ?? c.since,
	    look: (t) => duration(server_time - t), class: "n less" },
	{ title: "Held", value: (c) => c.reclaimed_bytes ?? c.held_bytes,
	    look: bytes, class: "n" },
	{ title: "Chunks", value: (c) => c.reclaimed_chunks ?? c.held_chunks,
	    look: count, class: "n less" },
	{ title: "Cached", value: (c) => c.cached_bytes, look: bytes,
	    class: "n less" },
	{ title: "Threads", value: (c) => c.threads, look: text,
	    class: "n less" },
	{ title: "Failed", value: failures_of, look: count, class: "n less" },
	{ title: "Lag", value: (c) => c.reader_lag, look: count,
	    class: "n less" },
], (c) => c.state === "reclaimed" ? "gone"
    : c.state === "alive" ? "" : "alarm");

const locks = new Table("locks", [
	{ title: "Arena", value: (l) => l.arena, look: text, class: "n" },
	{ title: "Holder", value: (l) => l.arena_state === "sick" ? "sick"
	    : l.holder_state ?? "free", look: text },
	{ title: "PID", value: (l) => l.holder_pid, look: text, class: "n" },
	{ title: "Held for", value: (l) => l.held_seconds, look: seconds,
	    class: "n less" },
	{ title: "Taken", value: (l) => l.acquisitions, look: count, class: "n" },
	{ title: "Busy", value: (l) => l.acquisitions > 0
	    ? l.busy / l.acquisitions : null, look: percent, class: "n" },
	{ title: "Waits", value: (l) => l.waits, look: count, class: "n less" },
	{ title: "Longest", value: (l) => l.longest_wait_seconds, look: seconds,
	    class: "n less" },
	{ title: "On dead", value: (l) => l.waits_on_dead, look: count,
	    class: "n less" },
	{ title: "Deaths", value: (l) => l.owner_deaths, look: count,
	    class: "n less" },
	{ title: "Repairs", value: (l) => l.repairs, look: count,
	    class: "n less" },
], (l) => l.arena_state === "sick" || l.holder_state === "stopped" ||
    l.holder_state === "dead" ? "alarm" : "");

const latencies = new Table("latencies", [
	{ title: "Operation", value: (l) => l.operation,
	    look: (name) => name.replace("_", " ") },
	{ title: "Timed", value: (l) => l.count, look: count, class: "n" },
	{ title: "P50", value: (l) => l.p50_seconds, look: short_time,
	    class: "n" },
	{ title: "P99", value: (l) => l.p99_seconds, look: short_time,
	    class: "n" },
	{ title: "P99.9", value: (l) => l.p999_seconds, look: short_time,
	    class: "n less" },
	{ title: "Most", value: (l) => l.most_seconds, look: short_time,
	    class: "n" },
	{ title: "Sum", value: (l) => l.sum_seconds, look: short_time,
	    class: "n less" },
], () => "");

const get_p99_of = (cache) =>
	cache.latency?.find((l) => l.operation === "get")?.p99_seconds ?? null;

const caches = new Table("caches", [
	{ title: "Cache", value: (c) => c.cache, look: text },
	{ title: "Entries", value: (c) => c.entries, look: count,
	    class: "n less" },
	{ title: "Used", value: (c) => c.used_bytes, look: bytes, class: "n" },
	{ title: "Of limit", value: (c) => c.limit_bytes > 0
	    ? c.used_bytes / c.limit_bytes : null, look: percent,
	    class: "n less" },
	{ title: "Hit ratio", value: (c) => c.hit_ratio, look: percent,
	    class: "n" },
	{ title: "Hits", value: (c) => c.hits, look: count, class: "n less" },
	{ title: "Misses", value: (c) => c.misses, look: count,
	    class: "n less" },
	{ title: "Evicted", value: (c) => c.evicted.limit + c.evicted.memory +
	    c.evicted.place, look: count, class: "n less" },
	{ title: "For memory", value: (c) => c.evicted.memory, look: count,
	    class: "n less" },
	{ title: "Expired", value: (c) => c.expired, look: count,
	    class: "n less" },
	{ title: "Median age", value: (c) => c.age_median_seconds,
	    look: duration, class: "n less" },
	{ title: "Get P99", value: get_p99_of, look: short_time,
	    class: "n less" },
	{ title: "Failed", value: (c) => c.failed, look: count, class: "n" },
], (c) => c.failed > (cache_before(c)?.failed ?? c.failed) ? "alarm" : "");

const ALARMS = ["quarantine", "misuse", "failure", "evict", "orphan"];

const events = new Table("events", [
	{ title: "Time", value: (e) => e.time, look: clock },
	{ title: "Kind", value: (e) => e.kind, look: text },
	{ title: "Segment", value: (e) => e.segment, look: text,
	    class: "less" },
	{ title: "PID", value: (e) => e.pid, look: text, class: "n less" },
	{ title: "Command", value: (e) => e.command, look: text,
	    class: "less" },
	{ title: "What", value: (e) => e.text, look: text, class: "words" },
], (e) => ALARMS.includes(e.kind) ? "alarm" : "");

/* ---- The map ------------------------------------------------------------- */

const CELL = 11, GAP = 1;

const map = { data: null, only: null };

const class_color = (name) => color(name.replace(" ", "-"));

function map_columns(canvas) {
	return Math.max(8, Math.floor(canvas.clientWidth / (CELL + GAP)));
}

/* Cells that lie in RANGE rows of a canvas. */
function canvas_draw(canvas, arena, colors) {
	const columns = map_columns(canvas);
	const rows = Math.max(1, Math.ceil(arena.cells.length / columns));
	const scale = window.devicePixelRatio || 1;
	canvas.width = canvas.clientWidth * scale;
	canvas.height = rows * (CELL + GAP) * scale;
	canvas.style.height = rows * (CELL + GAP) + "px";
	const context = canvas.getContext("2d");
	context.scale(scale, scale);
	for (let i = 0; i < arena.cells.length; i++) {
		const symbol = arena.cells[i];
		context.globalAlpha =
		    map.only === null || map.only === symbol ? 1 : 0.12;
		context.fillStyle = colors[symbol];
		context.fillRect(i % columns * (CELL + GAP),
		    Math.floor(i / columns) * (CELL + GAP), CELL, CELL);
	}
}

function arena_name(arena) {
	if (arena.id !== null)
		return "Arena " + arena.id;
	return arena.cells.startsWith("%") ? "Tables" : "No arena’s";
}

/* The cell under the pointer, in words. */
function cell_say(event, canvas, arena) {
	const columns = map_columns(canvas);
	const box = canvas.getBoundingClientRect();
	const x = Math.floor((event.clientX - box.left) / (CELL + GAP));
	const y = Math.floor((event.clientY - box.top) / (CELL + GAP));
	const i = y * columns + x;
	if (x >= columns || i < 0 || i >= arena.cells.length)
		return;
	const kind = map.data.legend.find((c) => c.symbol === arena.cells[i]);
	$("map-where").textContent = arena_name(arena) + ", from " +
	    bytes(i * map.data.cell_bytes) + ": mostly " + kind.name;
}

function legend_draw() {
	const all = map.data.legend.reduce((sum, c) => sum + c.bytes, 0);
	$("map-legend").replaceChildren(...map.data.legend.map((c) => {
		const li = make("li"), button = make("button", null,
		    { type: "button", "aria-pressed": map.only === c.symbol,
			"data-class": c.name, "data-value": c.bytes });
		button.append(swatch(12, 12, "rect", { width: 12, height: 12,
			fill: class_color(c.name) }),
		    c.name + " " + bytes(c.bytes) + ", " +
		    percent(all > 0 ? c.bytes / all : 0));
		button.addEventListener("click", () => {
			map.only = map.only === c.symbol ? null : c.symbol;
			map_draw();
			document.querySelector('#map-legend [data-class="' +
			    c.name + '"]').focus();
		});
		li.append(button);
		return li;
	}));
}

function map_draw() {
	if (map.data === null)
		return;
	const colors = Object.fromEntries(
	    map.data.legend.map((c) => [c.symbol, class_color(c.name)]));
	$("map-cell").textContent =
	    "a cell is " + bytes(map.data.cell_bytes) +
	    ", and has the colour of most of it";
	const parts = map.data.arenas.map((arena) => {
		const title = make("h3", arena_name(arena) + " · " +
		    bytes(arena.size_bytes));
		const canvas = make("canvas", null, { role: "img",
			"aria-label": arena_name(arena) + ", " +
			    arena.cells.length + " cells; the legend below has " +
			    "what they are in all" });
		for (const type of ["pointermove", "pointerdown"])
			canvas.addEventListener(type,
			    (event) => cell_say(event, canvas, arena));
		return { title, canvas, arena };
	});
	$("map-arenas").replaceChildren(
	    ...parts.flatMap((part) => [part.title, part.canvas]));
	for (const part of parts)
		canvas_draw(part.canvas, part.arena, colors);
	legend_draw();
}

/* ---- Asking -------------------------------------------------------------- */

let segment = "default", is_paused = false, before = null, map_ms = 0;
let generation = 0;
/* The last answers, the oldest first: what "of late" means. */
let past = [];

/* While no daemon runs its socket is kept, and who asks waits. */
async function ask(name, patience_ms) {
	const answer = await fetch(name + ".json?segment=" +
	    encodeURIComponent(segment), { cache: "no-store",
		signal: AbortSignal.timeout(patience_ms ?? PATIENCE_MS) });
	if (!answer.ok)
		throw new Error((await answer.text()).trim());
	return answer.json();
}

function state_put(state, words) {
	if ($("state").textContent !== words)
		$("state").textContent = words;
	$("state").dataset.state = state;
}

function tiles_put(s) {
	const b = s.bytes, f = s.failures, limit = s.segment.limit_bytes;
	put("in-use", b.allocated, bytes);
	put("free", free_of(b), bytes);
	put("largest", s.fragmentation.largest_free_bytes, bytes);
	put("cached", b.cached, bytes);
	put("resident", b.resident, bytes);
	put("clients-alive", s.clients.alive, count);
	put("clients-reclaimed", s.clients.reclaimed_total, count);
	put("failed", REASONS.reduce((sum, r) => sum + f[r], 0), count);
	$("failed").className = $("failed").dataset.value === "0" ? "" : "alarm";
	$("in-use-meter").value = limit > 0 ? b.allocated / limit : 0;
	put("in-use-of", limit, (n) => (limit > 0
	    ? percent(b.allocated / limit) : ABSENT) + " of " + bytes(n));
}

function daemon_put(s) {
	const d = s.daemon;
	$("daemon").textContent = "shmallocd " + d.version + ", pid " + d.pid +
	    ", up " + duration(d.uptime_seconds) + ", started " + d.start_mode +
	    " (restarts " + d.restarts + ", crash recoveries " +
	    d.crash_recoveries + ")";
	$("version").textContent = "shmalloc " + d.version + ", segment " +
	    s.segment.name + " " + s.segment.id;
}

function stats_put(s) {
	const dt = before !== null ? s.time - before.time : 0;
	server_time = s.time;
	/* The same document again: nothing is new. */
	if (before !== null && dt <= 0)
		return;
	tiles_put(s);
	daemon_put(s);
	latencies.put(s.latency);
	$("shared-caches").hidden = caches_of(s).length === 0;
	caches.put(caches_of(s));
	for (const chart of charts)
		chart.add(s.time, chart.values_of(s, before ?? undefined, dt));
	before = s;
	past.push(s);
	if (past.length > WINDOW)
		past.shift();
}

async function segments_put() {
	const names = (await ask("segments")).map((s) => s.name);
	const known = [...$("segment").options].map((o) => o.value);
	if (names.join("/") === known.join("/"))
		return;
	$("segment").replaceChildren(...names.map((name) => {
		const option = make("option", name, { value: name });
		option.selected = name === segment;
		return option;
	}));
}

async function map_turn(is_asked) {
	const now = Date.now();
	if (!is_asked && (!$("map-live").checked || now - map_ms < MAP_MS))
		return;
	map_ms = now;
	const mine = generation, data = await ask("map", MAP_PATIENCE_MS);
	if (mine !== generation)
		return;
	map.data = data;
	map_draw();
}

async function turn() {
	const mine = generation;
	const [s, c, l, e] = await Promise.all(
	    [ask("stats"), ask("clients"), ask("locks"), ask("events")]);
	/* Another segment was chosen meanwhile. */
	if (mine !== generation)
		return;
	stats_put(s);
	clients.put(c);
	locks.put(l.locks);
	events.put(e.events.slice(-EVENTS).reverse());
	await segments_put();
	if (!is_paused)
		state_put("live", "Live");
}

function error_put(error) {
	state_put("lost", "No answer (" + error.message + "); trying again");
}

/* Do TURN again and again, beside the others. */
async function turns(turn) {
	for (;;) {
		if (!is_paused && !document.hidden)
			await turn().catch(error_put);
		await new Promise((done) => setTimeout(done, PERIOD_MS));
	}
}

$("segment").addEventListener("change", (event) => {
	segment = event.target.value;
	generation++;
	before = null;
	past = [];
	map.data = null;
	map_ms = 0;
	charts.forEach((chart) => chart.clear());
});

$("pause").addEventListener("click", () => {
	is_paused = !is_paused;
	$("pause").setAttribute("aria-pressed", is_paused);
	state_put(is_paused ? "wait" : "live", is_paused ? "Paused" : "Live");
});

$("map-now").addEventListener("click", () => {
	map_turn(true).catch(error_put);
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
	charts.forEach((chart) => {
		chart.destroy();
		chart.draw();
	});
	map_draw();
});

/* Its height is the drawing's own. */
let map_width = 0;
new ResizeObserver(() => {
	if ($("map-arenas").clientWidth === map_width)
		return;
	map_width = $("map-arenas").clientWidth;
	map_draw();
}).observe($("map-arenas"));

turns(turn);
turns(() => map_turn(false));
})();

"use strict";
/* Filters, and the dialog behind each verdict.  The page is whole without. */

const $ = (id) => document.getElementById(id);
const form = $("filter"), matrix = $("matrix"), dialog = $("cell");

/* An element with a class and children; text is never taken for HTML. */
function el(name, cls, ...children) {
	const e = document.createElement(name);
	if (cls)
		e.className = cls;
	e.append(...children);
	return e;
}

/* --- filters ----------------------------------------------------------------- */

const rows = Array.from(matrix.tBodies[0].rows).filter((r) => r.id).map((tr) => ({
	tr,
	words: tr.textContent.toLowerCase(),
	needs: tr.dataset.needs.split(" "),
	verdicts: Object.fromEntries(Array.from(tr.querySelectorAll("button"),
	    (b) => [b.dataset.target, b.textContent])),
}));

function fits(row, f) {
	const d = row.tr.dataset;
	const verdicts = f.target ? [row.verdicts[f.target]] : Object.values(row.verdicts);
	return (!f.level || d.level === f.level) && (!f.rfc || d.rfc === f.rfc) &&
	    (!f.needs || row.needs.includes(f.needs)) && (!f.differs || d.differs) &&
	    (!f.verdict || verdicts.includes(f.verdict)) &&
	    f.words.toLowerCase().split(/\s+/).every((w) => row.words.includes(w));
}

function filter() {
	const f = Object.fromEntries(new FormData(form));
	let n = 0;
	for (const row of rows) {
		row.tr.hidden = !fits(row, f);
		n += !row.tr.hidden;
	}
	$("shown").textContent = n === rows.length ? `${n} requirements` :
	    `${n} of ${rows.length} requirements`;
	$("none").hidden = n > 0;
	const set = Object.entries(f).filter(([, v]) => v);
	remember(set.length ? "?" + new URLSearchParams(set) : "");
}

/* What is shown can be linked to, and is still there after going back. */
function remember(hash) {
	try {
		history.replaceState(null, "", hash ? "#" + hash :
		    location.pathname + location.search);
	} catch {
		/* some browsers forbid it in a file */
	}
}

form.addEventListener("input", filter);		/* while a word is typed */
form.addEventListener("change", filter);	/* a choice, in all browsers */
form.addEventListener("submit", (e) => e.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));

/* --- the dialog ---------------------------------------------------------------- */

let data;	/* cells, runs, said, text: see ci/report */

async function unpack() {
	const bytes = Uint8Array.from(atob($("packed").textContent), (c) => c.charCodeAt(0));
	const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
	return new Response(stream).json();
}

function transcript(lines) {
	const pre = el("pre", "said");
	for (const [t, who, dir, text] of lines) {
		const cls = dir === "!!" || dir === "--" ? "n" : dir === "S" ? "s" : "c";
		pre.append(el("span", "n t", `${(t / 1e6).toFixed(6)} `),
		    el("span", cls, `${who} ${dir === "!!" ? "log" : dir}: ${text}`), "\n");
	}
	return pre;
}

/* The scenario, with the lines marked that something else came to. */
function source(text, judged) {
	const pre = el("pre"), lines = judged.map((f) => Number(f.where.split(":")[1]));
	text.replace(/\n$/, "").split("\n").forEach((s, i) => {
		pre.append(lines.includes(i + 1) ? el("mark", "", s) : s, "\n");
	});
	pre.tabIndex = 0;
	return pre;
}

function repeat(line) {
	const button = el("button", "", "Copy"), div = el("div", "repeat", el("pre", "", line), button);
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(line);
			button.textContent = "Copied";
		} catch {
			getSelection().selectAllChildren(div.firstChild);
		}
	});
	return div;
}

function judgement(f) {
	return el("p", "", el("code", "", f.where || f.oracle), el("br"),
	    f.expected ? `expected ${f.expected}, got ` : "got ",
	    el("span", "reply", f.got), el("br"), el("small", "", f.why || ""));
}

/* What breaks this requirement comes first; the rest of the scenario is put away. */
function judgements(o, id) {
	const list = el("div"), rest = el("details", "", el("summary", "", "Other deviations"));
	for (const f of o.failures.concat(o.known))
		(!id || !f.breaks || f.breaks.includes(id) ? list : rest).append(judgement(f));
	if (o.reason)
		list.append(el("p", "", o.reason));
	if (rest.children.length > 1)
		list.append(rest);
	return list;
}

function part(path, target, id) {
	const run = data.runs[path], o = run && run.outcomes[target], div = el("section");
	div.append(el("h3", "", run ? `${run.name} ` : "", el("code", "", path)));
	if (!o) {
		div.append(el("p", "soft", "It was not run on this target."));
		return div;
	}
	div.append(el("p", "", el("strong", "", o.verdict), ` in ${o.seconds} s`), judgements(o, id));
	if (o.repeat)
		div.append(el("p", "soft", "Repeat with"), repeat(o.repeat));
	const lines = (data.said[path] || {})[target] || [], text = data.text[path];
	div.append(el("h3", "", "What was said"), lines.length ? transcript(lines) :
	    el("p", "soft", "Nothing is stored of it."));
	if (text)
		div.append(el("h3", "", "The scenario"), source(text, o.failures.concat(o.known)));
	return div;
}

function fill(body, cell, target, id) {
	if (cell.reason)
		body.append(el("p", "", cell.reason));
	const deviating = (cell.deviations || []).map((d) => d.scenario);
	for (const path of new Set([...deviating, ...cell.scenarios]))
		body.append(part(path, target, id));
	if (!cell.scenarios.length)
		body.append(el("p", "soft", "No scenario is about it."));
}

async function show(title, text, target, cell, id) {
	const body = $("cell-body");
	$("cell-title").textContent = title;
	$("cell-text").textContent = text;
	body.replaceChildren();
	dialog.showModal();
	try {
		data ??= await unpack();
		fill(body, cell(), target, id);
	} catch (e) {
		body.append(el("p", "note", `This browser cannot unpack what was said: ${e.message}`));
	}
	body.scrollTop = 0;
	body.focus();
}

function open(button) {
	const tr = button.closest("tr"), target = button.dataset.target;
	if (tr.id) {
		const id = tr.id.slice(1);
		show(`${id} on ${target}: ${button.textContent}`,
		    `${tr.dataset.level}: ${tr.querySelector(".text span").textContent} (${tr.querySelector("small").textContent})`, target,
		    () => data.cells[id][target], id);
	} else {
		show(`${target}: ${button.textContent}`, "", target,
		    () => ({ scenarios: [tr.dataset.path] }));
	}
}

/* In a matrix the arrows go from verdict to verdict, past hidden rows. */
const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function move(e) {
	const step = steps[e.key], td = e.target.closest("td.cell");
	if (!step || !td)
		return;
	let tr = td.parentNode;
	if (step[0])
		do
			tr = step[0] < 0 ? tr.previousElementSibling : tr.nextElementSibling;
		while (tr && tr.hidden);
	const to = tr && tr.cells[td.cellIndex + step[1]];
	const button = to && to.querySelector("button");
	if (button) {
		e.preventDefault();
		button.focus();
	}
}

for (const table of [matrix, $("runs")]) {
	table.addEventListener("click", (e) => {
		const button = e.target.closest("button");
		if (button)
			open(button);
	});
	table.addEventListener("keydown", move);
}
$("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (e) => {
	if (e.target === dialog)
		dialog.close();
});

/* A link to a row must find it whatever is filtered. */
function follow() {
	const hash = decodeURIComponent(location.hash.slice(1));
	if (hash.startsWith("?")) {
		for (const [k, v] of new URLSearchParams(hash)) {
			const field = form.elements[k];
			if (field && field.type === "checkbox")
				field.checked = true;
			else if (field)
				field.value = v;
		}
		filter();
		return;
	}
	const row = hash && $(hash);
	if (row && row.hidden) {
		form.reset();
		setTimeout(() => {
			location.hash = "#" + hash;
			row.scrollIntoView({ block: "center" });
		});
	}
}
addEventListener("hashchange", follow);
follow();

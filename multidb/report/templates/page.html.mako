## The page of `python -m multidb report --html`. Every expression is escaped, apart from the two files in the head.
<%namespace name="pictures" file="picture.mako"/>\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Databases: migrations</title>
<style>${style | n}</style>
</head>
<body>
<svg class="definitions" width="0" height="0" aria-hidden="true"><marker id="head" viewBox="0 0 10 8" markerWidth="10" markerHeight="8" refY="4" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L10 4 L0 8 z"/></marker></svg>
<a class="skip" href="#databases">Skip to the databases</a>
<header>
<h1>Databases and their migrations</h1>
<p>As of <time datetime="${report.made_at.isoformat(timespec='seconds')}">${report.made_at.strftime("%Y-%m-%d %H:%M:%S")} UTC</time></p>
<ul class="numbers">
<li><strong>${len(report.databases)}</strong> ${"database" if len(report.databases) == 1 else "databases"}</li>
% for word, number, style_of in summary:
<li class="${style_of}"><strong>${number}</strong> ${word}</li>
% endfor
</ul>
<nav aria-label="Sections"><a href="#databases">Databases</a> <a href="#sessions">Sessions and locks</a> <a href="#runs">Runs</a> <a href="#revisions">Revisions</a> <a href="#tables">Tables</a></nav>
</header>
<main>

<section id="databases" aria-labelledby="databases-title">
<h2 id="databases-title">Databases</h2>
<div class="wide" role="region" aria-label="Databases, as a table" tabindex="0">
<table data-sortable>
<thead><tr><th scope="col">Database</th><th scope="col">Server</th><th scope="col">Revision</th><th scope="col">Head</th><th scope="col" data-number>Pending</th><th scope="col">Plan</th><th scope="col">Drift</th><th scope="col">Last run</th></tr></thead>
<tbody>
% for each in report.databases:
<tr>
<th scope="row"><a href="#tables-${each.name}">${each.name}</a></th>
<td>${each.place}</td>
<td><code>${each.revision}</code></td>
<td><code>${each.head}</code></td>
<td class="number">${"?" if each.pending is None else each.pending}</td>
<td><span class="badge ${'bad' if each.plan.failure or each.plan.counting else 'good' if each.pending else 'none'}">${each.verdict}</span></td>
<td><span class="badge ${'bad' if each.drift.error else 'warn' if each.drift.differences else 'good'}">${each.drift_text}</span></td>
<td>\
% if each.last_run:
${each.last_run["started_at"][:16].replace("T", " ")} ${each.last_run["release"] or each.last_run["command"]}: ${each.last_run["state"]}\
% else:
never\
% endif
</td>
</tr>
% endfor
</tbody>
</table>
</div>
% if report.guarantee:
<p><strong>A run now:</strong> ${report.guarantee}</p>
% endif
% for each in report.databases:
% if each.error or each.plan.findings or each.drift.differences:
<details class="notes" open>
<summary>${each.name}: what to look at</summary>
<ul>
% if each.error:
<li><span class="badge bad">error</span> ${each.error}</li>
% endif
% for finding in each.plan.findings:
<li><span class="badge ${'none' if finding.accepted else 'bad' if finding in each.plan.counting else 'warn'}">${finding.rule}</span> ${finding.sentence} (${finding.place})</li>
% endfor
% for difference in each.drift.differences:
<li><span class="badge warn">drift</span> ${difference.sentence}</li>
% endfor
</ul>
</details>
% endif
% endfor
</section>

<section id="sessions" aria-labelledby="sessions-title">
<h2 id="sessions-title">Sessions and locks</h2>
<p>Sessions and prepared transactions with locks on tables: a revision that alters these tables waits for them.</p>
% if any(each.holders for each in report.databases):
<div class="wide" role="region" aria-label="Sessions and locks, as a table" tabindex="0">
<table data-sortable>
<thead><tr><th scope="col">Database</th><th scope="col">Session</th><th scope="col">Role</th><th scope="col">Application</th><th scope="col">From</th><th scope="col">State</th><th scope="col" data-number>Seconds</th><th scope="col">Tables</th><th scope="col">Locks</th><th scope="col">Waits for</th></tr></thead>
<tbody>
% for each in report.databases:
% for holder in each.holders:
<tr><th scope="row">${each.name}</th><td>${holder.name}</td><td>${holder.role}</td><td>${holder.application}</td><td>${holder.client}</td><td>${holder.state}</td><td class="number">${"?" if holder.seconds is None else f"{holder.seconds:.0f}"}</td><td>${", ".join(holder.tables)}</td><td>${", ".join(holder.modes)}</td><td>${", ".join(holder.blockers)}</td></tr>
% endfor
% endfor
</tbody>
</table>
</div>
% else:
<p class="fine">None: nothing would hold a run up.</p>
% endif
% for each in report.databases:
% if each.holders_error:
<p><span class="badge bad">${each.name}</span> ${each.holders_error}</p>
% endif
% endfor
</section>

<section id="runs" aria-labelledby="runs-title">
<h2 id="runs-title">Runs</h2>
% if report.runs:
<div class="wide" role="region" aria-label="Runs, as a table" tabindex="0">
<table data-sortable>
<thead><tr><th scope="col">Began (UTC)</th><th scope="col">Release</th><th scope="col">Command</th><th scope="col">By</th><th scope="col">Outcome</th><th scope="col" data-number>Seconds</th><th scope="col">Databases</th></tr></thead>
<tbody>
% for run in report.runs:
<% seconds, length = bar(run) %>\
<tr>
<th scope="row"><time datetime="${run['started_at']}">${run["started_at"][:19].replace("T", " ")}</time></th>
<td>${run["release"] or run["run"]}</td>
<td><code>${run["command"]}</code></td>
<td>${run["who"]} on ${run["host"]}${" for " + run["actor"] if run["actor"] else ""}</td>
<td><span class="badge ${'good' if run['state'] == 'committed' else 'warn' if run['state'] == 'running' else 'bad'}">${run["state"]}</span>${" " + run["ended"]["error"] if run["ended"] and run["ended"].get("error") else ""}</td>
<td class="number"><span>${f"{seconds:.2f}"}</span><svg class="bar" width="100" height="6" aria-hidden="true"><rect width="${f'{length:.1f}'}" height="6" rx="2"/></svg></td>
<td>${", ".join(row["database"] for row in run["databases"])}</td>
</tr>
% endfor
</tbody>
</table>
</div>
% else:
<p>No run yet.</p>
% endif
</section>

<section id="revisions" aria-labelledby="revisions-title">
<h2 id="revisions-title">Revisions</h2>
<p class="legend"><span class="key here">the database is here</span> <span class="key pending">pending</span> <span class="key applied">applied</span></p>
% if not has_dot:
<p class="notice">The pictures need Graphviz: install the package <code>graphviz</code> and write this page again. The lists below say the same.</p>
% endif
% for each in report.databases:
% if each.graph and each.graph.nodes:
<article>
<h3>${each.name}</h3>
<% drawn = revisions_picture(each.graph) %>\
% if drawn:
${pictures.svg(drawn, f"Revisions of {each.name}")}\
% endif
<details ${"" if drawn else "open"}>
<summary>${len(each.graph.nodes)} ${"revision" if len(each.graph.nodes) == 1 else "revisions"} of ${each.name} as a list</summary>
<ol>
% for node in each.graph.nodes:
<li><code>${node.name}</code> ${node.title}: ${"the database is here" if node.state == "here" else node.state}${", after " + ", ".join(node.parents) if len(node.parents) > 1 else ""}</li>
% endfor
</ol>
</details>
</article>
% endif
% endfor
</section>

<section id="tables" aria-labelledby="tables-title">
<h2 id="tables-title">Tables</h2>
<p>As the databases are. What the pending revisions do is marked: <span class="key added">+ added</span> <span class="key changed">~ changed</span> <span class="key dropped">- dropped</span></p>
% if not has_dot:
<p class="notice">The pictures need Graphviz: install the package <code>graphviz</code> and write this page again. The lists below say the same.</p>
% endif
% for each in report.databases:
<article id="tables-${each.name}">
<h3>${each.name}</h3>
% if each.entities is None:
<p><span class="badge bad">not read</span> ${each.error}</p>
% elif not each.entities.tables:
<p>No tables.</p>
% else:
% if each.plan.planned is None:
<p><span class="badge bad">not marked</span> The pending revisions could not be rehearsed: ${each.plan.error or "they fail"}</p>
% endif
<% drawn = entities_picture(each.entities) %>\
% if drawn:
${pictures.svg(drawn, f"Tables of {each.name}")}\
% endif
<details ${"" if drawn else "open"}>
<summary>${len(each.entities.tables)} ${"table" if len(each.entities.tables) == 1 else "tables"} of ${each.name} as a list</summary>
% for table in each.entities.tables:
<h4 class="${table.mark}">${signs[table.mark]}${table.name}${"" if table.mark == "kept" else f" ({table.mark})"}</h4>
<ul class="members">
% for member in table.members:
<li class="${member.mark}">${signs[member.mark]}<code>${member.name}</code> ${member.text}${", key" if member.is_key else ""}${"" if member.mark == "kept" else f" ({member.mark})"}</li>
% endfor
% for reference in each.entities.references:
% if reference.source == table.name:
<li class="${reference.mark}">${signs[reference.mark]}<code>${reference.columns}</code> refers to ${reference.target}${"" if reference.mark == "kept" else f" ({reference.mark})"}</li>
% endif
% endfor
</ul>
% endfor
</details>
% endif
</article>
% endfor
</section>
</main>
<footer><p>Written by <code>python -m multidb report --html</code>. This page loads nothing and has no password in it.</p></footer>
<script>${script | n}</script>
</body>
</html>

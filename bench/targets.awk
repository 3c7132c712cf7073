# The targets of speed and memory, each with its figure and whether it is met;
# read before bench/tables, which reads the rows and has the functions used here:
#
#	awk -f bench/targets.awk -f bench/tables ROWS.csv
#
# With -v plot=FILE the ratios to the best private heap are written there, too.

function bar_text(bar, sense)
{
	return (sense == "least" ? ">= " : "<= ") bar
}

# FIGURE, "" if it was not measured, is to be at most BAR (SENSE "most") or at
# least (SENSE "least"); NOTE says where it comes from.
function target(what, figure, bar, sense, note,    is_met, by)
{
	if (figure == "") {
		print "| " what " | not measured | " bar_text(bar, sense) \
		    " | - | " note " |"
		return
	}
	is_met = sense == "least" ? figure >= bar : figure <= bar
	by = sense == "least" ? bar / figure : figure / bar
	printf "| %s | %.2f | %s | %s | %s |\n", what, figure, \
	    bar_text(bar, sense), \
	    is_met ? "yes" : sprintf("no, by a factor of %.2f", by), note
}

# The largest of ours / theirs over the rows, with the geometric mean in
# `means`, the number of rows in `rows` and those above BAR in `above`; H "best"
# is the best private heap of each row.
function worst_ratio(h, only_p, only_w, bar,    j, k, w, p, x, peer, most, sum)
{
	means = rows = above = sum = 0
	most = where = ""
	for (k = 1; k <= n_w; k++)
		for (j = 1; j <= n_p; j++) {
			w = workload[k]
			p = workers[j]
			if (index(" " only_p " ", " " p " ") == 0 || \
			    (only_w != "" && w !~ only_w) || w == except)
				continue
			peer = h == "best" ? best_of(w, p) : h
			x = peer == "" ? "" : ratio_of(w, peer, p)
			if (x == "")
				continue
			rows++
			sum += log(x)
			above += x > bar
			if (most == "" || x > most) {
				most = x
				where = w ", P=" p \
				    (h == "best" ? ", " peer : "")
			}
		}
	means = rows > 0 ? exp(sum / rows) : ""
	return most
}

function above_text(bar)
{
	return above " of " rows " rows above " bar ", the worst: " where
}

function targets_shared(    i, n, peer, x)
{
	n = split("boost apr_rmm ossp_mm tlsf", peer, " ")
	# There nobody is ahead: the figure is that of the writes.
	except = "cache_scratch"
	for (i = 1; i <= n; i++) {
		x = worst_ratio(peer[i], "1 2 4 16", "", 1)
		target("ahead of " peer[i] " in every row but " \
		    "`cache_scratch`: ours / theirs", x, 1, "most", \
		    above_text(1))
	}
	except = ""
	for (i = 1; i <= n; i++) {
		worst_ratio(peer[i], "1", "", 1)
		target("mean against " peer[i] ", P=1: theirs / ours", \
		    means == "" ? "" : 1 / means, 5, "least", rows " rows")
		worst_ratio(peer[i], "2", "", 1)
		target("mean against " peer[i] ", P=2: theirs / ours", \
		    means == "" ? "" : 1 / means, 50, "least", rows " rows")
	}
}

function targets_private(    x)
{
	x = worst_ratio("best", "1 2 4", "", 1.2)
	target("mean against the best private heap of each row, P=1, 2, 4: " \
	    "ours / theirs", means, 0.75, "most", rows " rows")
	target("each of those rows", x, 1.2, "most", above_text(1.2))
	x = worst_ratio("best", "2 4", "^x(proc|malloc)", 0.4)
	target("`xproc`, `xmalloc` and relatives, P=2, 4: ours / theirs", x, \
	    0.4, "most", above_text(0.4))
}

# Ours with P workers / with Q, the largest of all workloads.
function worst_growth(p, q, bar,    k, i, w, v, x, most)
{
	rows = above = 0
	most = where = ""
	for (k = 1; k <= n_w; k++) {
		w = workload[k]
		split("", v)
		for (i = 1; i <= reps; i++)
			if (("ns", w, ours, p, i) in value && \
			    ("ns", w, ours, q, i) in value)
				v[i] = value["ns", w, ours, p, i] / \
				    value["ns", w, ours, q, i]
		x = median(v)
		if (x == "")
			continue
		rows++
		above += x > bar
		if (most == "" || x > most) {
			most = x
			where = w
		}
	}
	return most
}

# US_NAME's / the least of the private heaps', the largest of all workloads.
function worst_tail(us_name, what, p, bar,    k, i, w, x, least, us, most)
{
	rows = above = 0
	most = where = ""
	for (k = 1; k <= n_w; k++) {
		w = workload[k]
		least = ""
		for (i = 1; i <= n_h; i++) {
			x = memory[heap[i]] != "private" ? "" : \
			    median_of(what, w, heap[i], p)
			if (x != "" && (least == "" || x < least))
				least = x
		}
		us = median_of(what, w, us_name, p)
		if (least == "" || us == "")
			continue
		rows++
		above += us / least > bar
		if (most == "" || us / least > most) {
			most = us / least
			where = w
		}
	}
	return most
}

function targets_tail(us_name, when,    x)
{
	x = worst_tail(us_name, "p99.9", 4, 1)
	target("p99.9 at P=4" when ": ours / the best private heap's", x, 1, \
	    "most", above_text(1))
	x = worst_tail(us_name, "p99.99", 4, 1)
	target("p99.99 at P=4" when ": ours / the best private heap's", x, 1, \
	    "most", above_text(1))
}

function targets_scaling(    x)
{
	x = worst_growth(2, 1, 1.1)
	target("ns at P=2 / at P=1", x, 1.1, "most", above_text(1.1))
	x = worst_growth(16, 2, 1.5)
	target("ns at P=16 / at P=2", x, 1.5, "most", above_text(1.5))
	targets_tail(ours, "")
	targets_tail("shmalloc_deaths", ", a client killed every 10 ms")
}

# Percent of what is resident that is live.
function live_share(w, p,    x)
{
	x = median_of("share", w, ours, p)
	return x == "" ? "" : 100 / x
}

function target_phase(p,    i, x, least, us)
{
	us = median_of("share", "phase_shift", ours, p)
	for (i = 1; i <= n_h; i++) {
		x = heap[i] ~ "^" ours ? "" : \
		    median_of("share", "phase_shift", heap[i], p)
		if (x != "" && (least == "" || x < least)) {
			least = x
			where = heap[i]
		}
	}
	if (us == "" || least == "")
		where = ""
	target("`phase_shift`, P=" p ": peak resident / peak live, ours / " \
	    "the best peer's", where == "" ? "" : us / least, 1, "most", \
	    where == "" ? "" : sprintf("%.2f, and %.2f of %s", us, least, \
	    where))
}

function plot_write(    k, j, w, p, h, line)
{
	line = "workload"
	for (j = 1; j <= n_p; j++)
		line = line " P=" workers[j]
	print line >plot
	for (k = 1; k <= n_w; k++) {
		w = workload[k]
		line = w
		for (j = 1; j <= n_p; j++) {
			p = workers[j]
			h = best_of(w, p)
			x = h == "" ? "" : ratio_of(w, h, p)
			line = line " " (x == "" ? "?" : x)
		}
		print line >plot
	}
	close(plot)
}

END {
	printf "%s", about
	about = ""
	print "### Targets\n\n| target | figure | bar | met? | from |"
	print "|---|---|---|---|---|"
	targets_shared()
	targets_private()
	targets_scaling()
	target("`churn`, P=1: % of resident that is live", \
	    live_share("churn", 1), 93, "least", "")
	target("`churn`, P=4: % of resident that is live", \
	    live_share("churn", 4), 91, "least", "")
	target_phase(1)
	target_phase(2)
	target_phase(4)
	if (plot != "")
		plot_write()
}

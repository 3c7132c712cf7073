# The list of values for shmalloc-metrics(7), in scdoc's format:
#
#   awk -f macro.awk -f metrics.awk shmalloc.proto metric.def page.scd.in
#
# A line @STATS@ of the page is replaced by the values of the answer Stats, a
# line @OTHERS@ by those of the other answers, as they are nested in the schema.
# The names in Prometheus are made as in proto/metric.c; metrics.bats compares.

FILENAME ~ /\.proto$/ {
	if ($1 == "message") {
		message = $2
	} else if ($1 == "optional" || $1 == "repeated") {
		n = ++n_fields[message]
		field[message, n] = $3
		type[message, n] = $2
		is_list[message, n] = $1 == "repeated"
	} else if (message == "Reply" && $3 == "=" && $1 ~ /^[A-Z]/) {
		answer[++n_answers] = $1
		answer_name[n_answers] = $2
	}
	next
}

/^(METRIC|RECORD)\(/ && FILENAME ~ /\.def$/ { macro = " " }
macro != "" {
	macro = (macro == " " ? "" : macro "\n") $0
	if (/"\)[ \t]*$/) {
		arguments(macro)
		key = arg[1] SUBSEP arg[2]
		text[key] = arg[5]
		if (macro ~ /^RECORD/) {
			kind[key] = "record"
			series[key] = arg[3]
			label[key] = arg[4]
		} else {
			kind[key] = tolower(arg[3])
			unit[key] = arg[4]
		}
		macro = ""
	}
}

function join(a, b)
{
	return a (a != "" && b != "" ? "_" : "") b
}

function ending(name, suffix)
{
	return substr(name, length(name) - length(suffix) + 1) == suffix ? \
	    name : name suffix
}

function series_name(prefix, record_label, key, name,    s)
{
	s = join("shmalloc", prefix)
	if (record_label == "" && name != "n")
		s = join(s, name)
	if (unit[key] == "timestamp")
		s = ending(s, "_timestamp_seconds")
	else if (unit[key] ~ /^(bytes|seconds|ratio)$/)
		s = ending(s, "_" unit[key])
	return kind[key] == "counter" ? ending(s, "_total") : s
}

function is_number(key)
{
	return kind[key] == "counter" || kind[key] == "gauge"
}

# The entries of MESSAGE, whose place is PATH.
function tree(message, path, prefix, record_label, is_exported,
    i, key, place, out)
{
	for (i = 1; i <= n_fields[message]; i++) {
		key = message SUBSEP field[message, i]
		place = path (path == "" ? "" : ".") field[message, i] \
		    (is_list[message, i] ? "[]" : "")
		out = out "*" escape(place) "* (" kind[key] \
		    (unit[key] == "" ? "" : ", " unit[key]) ")\n\t" \
		    escape(text[key])
		if (is_exported && is_number(key))
			out = out "++\n_" escape(series_name(prefix, \
			    record_label, key, field[message, i])) "_"
		out = out "\n\n"
		if (kind[key] == "record")
			out = out tree(type[message, i], place,
			    join(prefix, series[key]), label[key], is_exported)
	}
	return out
}

FILENAME ~ /\.def$/ { next }
$0 == "@STATS@" { printf "%s", tree("Stats", "", "", "", 1); next }
$0 == "@OTHERS@" {
	for (a = 1; a <= n_answers; a++)
		if (answer[a] != "Stats" && n_fields[answer[a]] > 0)
			printf "## %s\n\n%s", answer_name[a],
			    tree(answer[a], "", "", "", 0)
	next
}
{ print }

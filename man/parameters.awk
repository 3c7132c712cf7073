# Tables of names for a manual page, in scdoc's format, from the macros of a
# .def file:
#
#   awk -f macro.awk -f parameters.awk config.def param.def page.scd.in >page.scd
#
# A line @KEYS@ or @PARAMETERS@ of the page is replaced by the entries of the
# KEY or PARAM macros.

function human(unit, n,    i, word)
{
	if (unit ~ /^enum:/) {
		sub(/^enum:/, "", unit)
		split(unit, word, "|")
		return word[n + 1]
	}
	if (unit == "bytes") {
		for (i = 4; i > 0; i--)
			if (n > 0 && n % 1024 ^ i == 0)
				return n / 1024 ^ i substr("KMGT", i, 1)
		return n ""
	}
	if (unit == "ms") {
		if (n > 0 && n % 3600000 == 0)
			return n / 3600000 "h"
		if (n > 0 && n % 1000 == 0)
			return n / 1000 "s"
		return n "ms"
	}
	return n ""
}

# The values that an entry may have, in words.
function values(unit, def, min, max,    words)
{
	if (unit ~ /^enum:/) {
		words = substr(unit, 6)
		gsub(/\|/, ", ", words)
		return "one of " words "; default " human(unit, def)
	}
	if (unit == "text")
		return "text"
	if (unit == "user" || unit == "group")
		return "a " unit "'s name or number"
	if (unit == "mode")
		return "octal; default " def
	return human(unit, min) " to " human(unit, max) "; default " \
	    human(unit, def)
}

function entry(name, unit, def, min, max, note, text)
{
	return "*" escape(name) "* (" escape(values(unit, def, min, max)) \
	    note ")\n\t" escape(text) "\n\n"
}

function macro_end()
{
	arguments(macro)
	if (macro ~ /^KEY/)
		keys = keys entry(arg[2], arg[4], arg[5], arg[6], arg[7],
		    arg[3] == "SEGMENT" ? "; also of a segment" : "", arg[8])
	else
		parameters = parameters entry(arg[1], arg[7], arg[4], arg[5],
		    arg[6], "", arg[9])
	macro = ""
}

/^(KEY|PARAM)\(/ && FILENAME ~ /\.def$/ { macro = " " }
macro != "" {
	macro = (macro == " " ? "" : macro "\n") $0
	if (/"\)[ \t]*$/)
		macro_end()
}

FILENAME ~ /\.def$/ { next }
$0 == "@KEYS@" { printf "%s", keys; next }
$0 == "@PARAMETERS@" { printf "%s", parameters; next }
{ print }

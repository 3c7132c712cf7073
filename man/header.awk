# The functions of a public header for its manual page, in scdoc's format:
#
#	awk -f header.awk HEADER.h PAGE.scd.in
#
# A line @HEADER@ of the page is replaced by what the header declares from its
# first heading (or "What went wrong") on: headings become headings, and each
# declaration is followed by the comment above it, so that the page says what the
# header says.  Bodies of functions and macros are left out.

function escaped(text)
{
	gsub(/\\/, "\\\\", text)
	gsub(/[*_`]/, "\\\\&", text)
	return text
}

# Functions are bold, and so are constants.
function marked(text)
{
	text = escaped(text)
	gsub(/shmalloc\\_[a-z_\\]+\(\)/, "*&*", text)
	gsub(/SHMALLOC\\_[A-Z_\\]*[A-Z]/, "*&*", text)
	return text
}

# The comment that was collected, each paragraph in one line after INDENT.
function comment_put(indent,  n, i, paragraph)
{
	n = split(comment, paragraph, "\n\n")
	for (i = 1; i <= n; i++) {
		gsub(/\n/, " ", paragraph[i])
		sub(/^ +/, "", paragraph[i])
		out = out "\n" indent marked(paragraph[i]) "\n"
	}
	comment = ""
}

function declaration_put()
{
	sub(/\n+$/, "", declaration)
	out = out "\n```\n" declaration "\n```\n"
	declaration = ""
	if (comment != "")
		comment_put("\t")
}

# The end of what belongs together.
function item_end()
{
	if (declaration != "")
		declaration_put()
	else if (comment != "")
		comment_put("")
}

function comment_add(line)
{
	sub(/^[ \t]*\/?\*+\/?[ \t]?/, "", line)
	sub(/[ \t]*\*\/[ \t]*$/, "", line)
	comment = comment (comment == "" ? "" : "\n") line
}

FILENAME ~ /\.h$/ && !has_begun {
	has_begun = /^\/\* (---- |What went wrong)/
	if (!has_begun)
		next
}

FILENAME ~ /\.h$/ {
	if (is_over || /^#pragma GCC visibility pop/) {
		is_over = 1
		next
	}
	if (/^\/\* ---- /) {
		item_end()
		gsub(/^\/\* -+ | -+ \*\/$/, "")
		out = out "\n# " toupper($0) "\n"
	} else if (is_comment || /^\/\*/) {
		if (!is_comment)
			item_end()
		is_comment = !/\*\/$/
		comment_add($0)
	} else if (is_body) {
		is_body = !/^}/
	} else if (is_macro) {
		is_macro = /\\$/
	} else if (/^#define/) {
		is_macro = /\\$/
		sub(/[ \t]*\\$/, "")
		declaration = declaration $0 "\n"
	} else if (/^$/) {
		item_end()
	} else if (/^{/) {
		is_body = 1
		sub(/\n$/, ";\n", declaration)
	} else if (/^static inline/) {
		sub(/^static inline /, "")
		declaration = declaration $0 (/\*$/ ? "" : " ")
	} else {
		declaration = declaration $0 "\n"
	}
	next
}

/^@HEADER@$/ {
	item_end()
	print substr(out, 2)
	next
}

{ print }

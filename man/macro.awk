# What the scripts that make manual pages of .def files share.

function escape(text)
{
	gsub(/[_*\\]/, "\\\\&", text)
	return text
}

# Take apart the arguments of MACRO(...) into arg[1..n]; strings are joined.
function arguments(macro,    i, c, n, in_string)
{
	delete arg
	n = 1
	arg[1] = ""
	for (i = index(macro, "(") + 1; i <= length(macro); i++) {
		c = substr(macro, i, 1)
		if (c == "\"") {
			in_string = !in_string
		} else if (in_string) {
			if (c == "\\")
				c = substr(macro, ++i, 1)
			arg[n] = arg[n] c
		} else if (c == ",") {
			arg[++n] = ""
		} else if (c == ")") {
			break
		} else if (c !~ /[ \t\n]/) {
			arg[n] = arg[n] c
		}
	}
	return n
}

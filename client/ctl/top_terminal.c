/*
 * Whether the terminal can show a screen.  In a file of its own, for <term.h>
 * has macros of everyday names.
 */
#include <ncurses.h>
#include <term.h>
#include <unistd.h>

#include "client/ctl/top.h"

bool
top_has_terminal(void)
{
	int error;

	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	del_curterm(cur_term);
	return true;
}

/*
 * `map`: each cell of an arena by what most of its bytes are, and a legend that
 * says of every class how many bytes there are, small ones included.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

#define LINES_MAX  16 /* of all arenas, about */
#define WIDTH_MIN  8
#define WIDTH_MAX  64
#define MARGIN     9  /* the position at the left */
#define NAME_WIDTH 14 /* of a class: symbol, name, spaces */

/* How a symbol of the daemon's looks on a better terminal. */
struct glyph {
	char symbol;
	const char *utf8;
	const char *color;
};

static const struct glyph glyphs[] = {
	{ '%', "▚", "\033[35m" }, /* metadata */
	{ '#', "█", "\033[34m" }, /* owned */
	{ '@', "▓", "\033[32m" }, /* shared */
	{ 'c', "▒", "\033[36m" }, /* cached */
	{ 'p', "◆", "\033[33m" }, /* pending */
	{ 'f', "░", "\033[36m" }, /* fastbin */
	{ '.', "·", "\033[2m" },  /* free */
	{ '-', "─", "\033[2m" },  /* top */
	{ '|', "│", "\033[2m" },  /* tail */
	{ 'X', "■", "\033[34m" }, /* used extent */
	{ 'x', "□", "\033[2m" },  /* free extent */
	{ '_', "_", "\033[2m" },  /* unused */
};

struct style {
	const struct look *look;
	bool is_ascii;
};

static void
cell_print(const struct style *style, char symbol)
{
	const struct glyph *glyph = NULL;

	for (size_t i = 0; i < sizeof(glyphs) / sizeof(glyphs[0]); i++)
		if (glyphs[i].symbol == symbol)
			glyph = &glyphs[i];
	if (glyph == NULL) {
		putchar(symbol >= ' ' && symbol <= '~' ? symbol : '?');
		return;
	}
	printf("%s", look_color(style->look, glyph->color));
	if (style->is_ascii)
		putchar(symbol);
	else
		printf("%s", glyph->utf8);
	printf("%s", look_color(style->look, LOOK_RESET));
}

/* A place in an arena, exactly: 1280K, not 1.2M. */
static char *
position_text(
    const struct look *look, char buf[QUANTITY_LEN], uint64_t position)
{
	unsigned shift = position % 1024 != 0 ? 0
	    : position % (1 << 20) != 0       ? 10
					      : 20;

	if (!look->is_human || shift == 0 || position == 0)
		return look_bytes(look, buf, position);
	snprintf(buf, QUANTITY_LEN, "%" PRIu64 "%c", position >> shift,
	    shift == 10 ? 'K' : 'M');
	return buf;
}

static void
arena_print(const struct style *style, const struct shmalloc_record *arena,
    uint64_t cell_bytes, size_t width)
{
	const char *cells = shmalloc_control_string(arena, "cells");
	size_t n = cells == NULL ? 0 : strlen(cells);
	char size[QUANTITY_LEN], at[QUANTITY_LEN];
	uint64_t id;

	if (shmalloc_control_uint(arena, "id", &id) == 0)
		printf("arena %" PRIu64, id);
	else
		printf("%s", n != 0 && cells[0] == '%' ? "tables" : "no arena");
	printf("  %s\n", look_bytes_of(style->look, size, arena, "size_bytes"));
	for (size_t i = 0; i < n; i += width) {
		printf("%*s  ", style->look->is_human ? MARGIN - 2 : 13,
		    position_text(style->look, at, i * cell_bytes));
		for (size_t j = i; j < n && j < i + width; j++)
			cell_print(style, cells[j]);
		putchar('\n');
	}
}

/* One class; WIDTH columns of its bytes, so that they stand in columns. */
static void
class_print(
    const struct style *style, const struct shmalloc_record *class, int width)
{
	const char *symbol = shmalloc_control_string(class, "symbol");
	char name[64], bytes[QUANTITY_LEN];

	cell_print(style, symbol == NULL ? '?' : symbol[0]);
	printf(" %-11s %-*s", look_string(name, sizeof(name), class, "name"),
	    width, look_bytes_of(style->look, bytes, class, "bytes"));
}

static void
legend_print(const struct style *style, const struct shmalloc_record *map)
{
	size_t limit = style->look->width == 0 ? 80 : style->look->width;
	size_t n = shmalloc_control_count(map, "legend");
	int width = style->look->is_human ? 8 : 13;
	size_t per_line = limit / (NAME_WIDTH + (size_t)width);
	char cell[QUANTITY_LEN];

	printf("a cell is %s:\n",
	    look_bytes_of(style->look, cell, map, "cell_bytes"));
	for (size_t i = 0; i < n; i++) {
		bool is_last =
		    i + 1 == n || per_line == 0 || i % per_line == per_line - 1;

		class_print(style, shmalloc_control_item(map, "legend", i),
		    is_last ? 0 : width);
		if (is_last)
			putchar('\n');
	}
}

static size_t
width_choose(const struct ctl *ctl)
{
	size_t room = ctl->look.width == 0 ? 80 : ctl->look.width;

	if (ctl->opt.width != 0)
		return (size_t)ctl->opt.width;
	if (room > MARGIN + WIDTH_MAX)
		return WIDTH_MAX;
	return room > MARGIN + WIDTH_MIN ? room - MARGIN : WIDTH_MIN;
}

static void
map_print(
    const struct ctl *ctl, const struct shmalloc_record *map, size_t width)
{
	struct style style = {
		.look = &ctl->look,
		.is_ascii = ctl->opt.ascii || !ctl->look.is_utf8,
	};
	uint64_t cell_bytes = look_uint(map, "cell_bytes", 1);
	size_t n = shmalloc_control_count(map, "arenas");

	for (size_t i = 0; i < n; i++)
		arena_print(&style, shmalloc_control_item(map, "arenas", i),
		    cell_bytes, width);
	legend_print(&style, map);
}

int
map_run(struct ctl *ctl, int argc, char **argv)
{
	size_t width = width_choose(ctl);
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_map(ctl->control, ctl->opt.segment,
	    (uint32_t)ctl->opt.arena, (uint32_t)(width * LINES_MAX), &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), NULL);
	else
		map_print(ctl, shmalloc_control_root(reply), width);
	shmalloc_control_free(reply);
	return EXIT_OK;
}

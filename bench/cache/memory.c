/*
 * Memory: what is resident when so many keys are stored, none is evicted; for
 * each live byte, and beyond the live bytes for each entry.
 */
#include <stdio.h>

#include "bench/cache/cache.h"

void
part_memory(struct cell *cell)
{
	static const uint32_t step[] = { 50000, 71000, 100000, 141000, 200000 };
	const struct peer *peer = cell->peer;
	uint64_t resident, live = 0;
	uint32_t done = 0;
	char name[32];

	peer->attach();
	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		fill_keys(cell, done, step[i]);
		for (; done < step[i]; done++)
			live += stream_key_len(cell->stream, done) +
			    stream_value_len(cell->stream, done, 0);
		resident = peer->resident();
		snprintf(name, sizeof(name), "overhead_%u", step[i]);
		report_add(cell->report, name,
		    (double)((int64_t)resident - (int64_t)live) / step[i]);
		snprintf(name, sizeof(name), "live_%u", step[i]);
		report_add(cell->report, name, (double)live / (double)resident);
	}
}

/* The peers that there are: a new one is a line here. */
#include "bench/cache/cache.h"

extern const struct peer peer_shmalloc, peer_uthash, peer_glib, peer_memcached,
    peer_redis, peer_lmdb, peer_python_shmalloc, peer_python_diskcache,
    peer_python_manager;

const struct peer *const peers[] = {
	&peer_shmalloc,
	&peer_uthash,
	&peer_glib,
	&peer_memcached,
	&peer_redis,
	&peer_lmdb,
	&peer_python_shmalloc,
	&peer_python_diskcache,
	&peer_python_manager,
	NULL,
};

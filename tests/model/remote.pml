/*
 * An arena's remote list: pushed onto without the lock, drained by whoever
 * holds it, repaired when the holder was killed.
 *
 * Each STEP is one access to shared memory.  Clients take chunks from the
 * bins under the lock and free them onto the list; either may be killed before
 * any STEP, and so may the daemon in its recovery.  Tags are the truth, bins
 * and list an index over them.  The bins are a set here: what matters is that
 * a chunk is in there when it is FREE, once, and never in two places.
 *
 * A drain marks the whole list FREE, then cuts it off by one CAS, then puts
 * the chunks into the bins, so no chunk is ever known to a local variable
 * only.
 */

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef CHUNKS
#define CHUNKS 3	/* offsets 1..CHUNKS; 0 ends a list */
#endif
#ifndef CALLS
#define CALLS 2		/* chunks a client allocates */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef DAEMON_KILLS
#define DAEMON_KILLS 0
#endif
#define ALL ((1 << CLIENTS) - 1)
#define DAEMON 7
#define NOBODY 255
#define BIT(t) (1 << (t))

#define FREE 0
#define CACHED(t) (8 + (t))
#define REMOTE(t) (16 + (t))	/* on a list, or on its way there */
#define OWNER(x) ((x) & 7)
#define IS(state, x) (((x) & 248) == state(0))

byte tag[CHUNKS + 1];
byte link[CHUNKS + 1];	/* in the payload */
byte head;		/* of the remote list */
byte lock = NOBODY;
bit lock_is_dead;	/* its holder was the daemon, and that was killed */
byte bins;		/* the index: chunks that can be allocated */

byte dead, recovered, finished;
byte kills = KILLS;
byte daemon_kills = DAEMON_KILLS;

inline die()
{
	d_step {
		if
		:: t == DAEMON ->
			daemon_kills--;
			lock_is_dead = (lock == DAEMON)
		:: else -> kills--; dead = dead | BIT(t)
		fi;
		c = 0; h = 0; seen = 0; n = 0; s = 0
	}
}

#define STEP \
	atomic { \
		if \
		:: (t == DAEMON -> daemon_kills > 0 : kills > 0) -> \
			die(); goto killed \
		:: true \
		fi;
#define END }

/* Put a FREE chunk into the bins; its neighbour is merged if it is there. */
inline bin(c_)
{
	assert(tag[c_] == FREE);
	assert(!(bins & BIT(c_)));	/* free twice */
	if
#ifdef BUG_MERGE_BY_TAG
	:: c_ > 1 && tag[c_ - 1] == FREE -> assert(bins & BIT(c_ - 1))
#else
	:: c_ > 1 && (bins & BIT(c_ - 1)) -> assert(tag[c_ - 1] == FREE)
#endif
	:: else
	fi;
	bins = bins | BIT(c_)
}

/* Lock held.  REPAIR: an earlier holder may have marked some already. */
inline drain(repair)
{
	seen = 0;
	STEP h = head END;
#ifdef BUG_CUT_FIRST
	STEP
		h = head;
		head = 0
	END;
#endif
	do
	:: h != seen ->
		c = h;
		do
		:: c != seen ->
			STEP
				assert(IS(REMOTE, tag[c]) ||
				    (repair && tag[c] == FREE));
				tag[c] = FREE
			END;
			STEP c = link[c] END
		:: else -> break
		od;
#ifdef BUG_CUT_FIRST
		seen = h
#else
		STEP
			seen = h;
			if
			:: head == h -> head = 0
			:: else -> h = head	/* pushed meanwhile */
			fi
		END
#endif
	:: else -> break
	od;
	c = seen;
	if
	:: repair -> c = 0	/* the rebuild finds them */
	:: else
	fi;
	do
	:: c != 0 ->
		STEP n = link[c] END;
		STEP bin(c); c = n; n = 0 END
	:: else -> break
	od;
	atomic { c = 0; h = 0; seen = 0 }
}

proctype Client(byte t)
{
	byte calls, mine, c, h, seen, n, s;

	do
	:: calls < CALLS ->
		calls++;
		/* allocate, draining first as the lock's holder does */
		STEP
			if
			:: lock == NOBODY -> lock = t
			:: else -> goto next	/* another arena */
			fi
		END;
		drain(false);
		STEP
			c = 1;
			do
			:: c <= CHUNKS && !(bins & BIT(c)) -> c++
			:: else -> break
			od;
			if
			:: c > CHUNKS -> c = 0
			:: else -> bins = bins & ~BIT(c)
			fi
		END;
		STEP
			if
			:: c != 0 ->
				assert(tag[c] == FREE);
				tag[c] = CACHED(t);
				mine = mine | BIT(c)
			:: else
			fi;
			c = 0
		END;
		STEP
			lock = NOBODY
		END;
next:
		/* free what it has onto the list, now or later */
		if
		:: calls < CALLS
		:: true ->
			do
			:: mine != 0 ->
				atomic {
					c = 1;
					do
					:: !(mine & BIT(c)) -> c++
					:: else -> break
					od;
					mine = mine & ~BIT(c)
				};
				STEP
					assert(tag[c] == CACHED(t));
					tag[c] = REMOTE(t)
				END;
				STEP h = head END;
again:
				STEP link[c] = h END;
				STEP
					if
					:: head == h -> head = c
					:: else -> h = head; goto again
					fi
				END;
				c = 0;
				h = 0
			:: else -> break
			od
		fi
	:: else -> break
	od;
	atomic { finished = finished | BIT(t); goto end };
killed:
	mine = 0;
end:
	skip
}

/* The lock's holder is dead: make the index again from the tags. */
inline repair()
{
	STEP
		lock = DAEMON;
		lock_is_dead = 0;
		bins = 0
	END;
#ifndef BUG_REBUILD_WITHOUT_CUT
	drain(true);
#endif
	s = 1;
	do
	:: s <= CHUNKS ->
		STEP
			if
			:: tag[s] == FREE -> bins = bins | BIT(s)
			:: else
			fi;
			s++
		END
	:: else -> break
	od;
	s = 0;
	STEP lock = NOBODY END
}

/* Free what the dead left in caches or on the way to the list. */
inline reclaim()
{
	STEP
		if
		:: lock == NOBODY -> lock = DAEMON
		:: else -> goto idle	/* busy: later */
		fi
	END;
#ifndef BUG_RECLAIM_WITHOUT_DRAIN
	drain(false);
#endif
	s = 1;
	do
	:: s <= CHUNKS ->
		STEP
			if
			:: tag[s] != FREE && (m & BIT(OWNER(tag[s]))) ->
				tag[s] = FREE;
				n = 1
			:: else
			fi
		END;
		if
		:: n == 1 -> STEP bin(s); n = 0 END
		:: else
		fi;
		s++
	:: else -> break
	od;
	s = 0;
	STEP
		lock = NOBODY;
		recovered = recovered | m
	END
}

proctype Daemon()
{
	byte m, c, h, seen, n, s;
	byte t = DAEMON;

idle:
end_idle:
	do
	:: lock_is_dead || (lock < DAEMON && (dead & BIT(lock))) -> repair()
	:: (dead & ~recovered) != 0 && lock == NOBODY ->
		m = dead & ~recovered;
		reclaim();
		m = 0
	od;
killed:
	m = 0;
	goto idle
}

/* At rest each chunk is in the bins or on the list, once. */
proctype Checker()
{
	byte c, on, steps;

end:
	atomic {
		(finished | dead) == ALL && (dead & ~recovered) == 0 &&
		    lock == NOBODY;
		c = head;
		do
		:: c != 0 ->
			assert(!(on & BIT(c)));
			assert(IS(REMOTE, tag[c]));
			on = on | BIT(c);
			c = link[c]
		:: else -> break
		od;
		c = 1;
		do
		:: c <= CHUNKS ->
			if
			:: tag[c] == FREE ->
				assert((bins & BIT(c)) && !(on & BIT(c)))
			:: else -> assert(!(bins & BIT(c)) && (on & BIT(c)))
			fi;
			c++
		:: else -> break
		od
	}
}

init {
	byte t;

	atomic {
		bins = (1 << (CHUNKS + 1)) - 2;
		do
		:: t < CLIENTS -> run Client(t); t++
		:: else -> break
		od;
		run Daemon();
		run Checker()
	}
}

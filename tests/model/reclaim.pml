/*
 * When may a dead client's slot be given to another?  A tag names its owner by
 * slot and a few bits of the slot's generation, and a foreign free compares a
 * tag that it read some time ago.
 *
 * The victim's slot is used for several lives.  Each life allocates chunks,
 * then is killed; the daemon frees what is tagged as that life's and gives the
 * slot to the next when nobody's call is older than the death.  Meanwhile
 * other threads free the victim's chunks, at their own pace.  A call's mark is
 * the epoch in which it began; a death takes a stamp and moves the epoch on.
 *
 * Checked: a free that succeeds frees the object that the caller meant, one
 * life's object and not its successor's at the same place; nothing of a life
 * is left when the slot is given away.  One bit of generation is enough.
 */

#ifndef FREERS
#define FREERS 2
#endif
#ifndef CHUNKS
#define CHUNKS 2
#endif
#ifndef LIVES
#define LIVES 4
#endif
#ifndef FREES
#define FREES 2		/* calls of a freer */
#endif
#ifndef GENERATIONS
#define GENERATIONS 2	/* that a tag can tell apart */
#endif
#ifndef DAEMON_KILLS
#define DAEMON_KILLS 1
#endif

/* A tag: FREE, CACHED by freer f, or OWNED by the victim's slot. */
#define FREE 0
#define CACHED(f) (1 + (f))
#define OWNED(life) (8 + (life) % GENERATIONS)

byte tag[CHUNKS + 1];
byte epoch = 1;
byte mark[FREERS];	/* 0, or the epoch in which the call began */
byte life;		/* the slot's generation */
byte stamp;		/* of the death */
bit is_dead, is_last;
byte daemon_kills = DAEMON_KILLS;

byte g_life[CHUNKS + 1];	/* ghost: whose object lies there */

proctype Victim()
{
	byte c;

	do
	:: atomic {
		!is_dead && !is_last ->
		select(c : 1 .. CHUNKS);
		if
		:: tag[c] == FREE ->
			tag[c] = OWNED(life);
			g_life[c] = life
		:: else
		fi;
		c = 0
	   }
	:: atomic { !is_dead && !is_last -> is_dead = 1; stamp = 0 }
	:: atomic { is_last -> break }
	od
}

proctype Freer(byte f)
{
	byte calls, c, x, e, meant;

	do
	:: calls < FREES ->
		calls++;
		e = epoch;
#ifndef BUG_NO_MARK
		mark[f] = e;
#endif
		e = 0;
		/* what the caller means is what is there as the call begins */
		atomic {
			select(c : 1 .. CHUNKS);
			x = tag[c];
			meant = g_life[c]
		};
		if
		:: x >= OWNED(0) ->
			atomic {
				if
				:: tag[c] == x ->
					assert(g_life[c] == meant);
					tag[c] = CACHED(f)
				:: else
				fi
			};
			atomic {
				if
				:: tag[c] == CACHED(f) -> tag[c] = FREE
				:: else
				fi
			}
		:: else
		fi;
		d_step { mark[f] = 0; c = 0; x = 0; meant = 0 }
	:: else -> break
	od
}

proctype Daemon()
{
	byte c, x, i;

again:
	do
	:: atomic { is_last -> break }
	:: is_dead ->
		/* the stamp is taken once: it is in the client's slot */
		atomic {
			if
			:: stamp == 0 -> stamp = epoch; epoch++
			:: else
			fi
		};
		c = 1;
		do
		:: c <= CHUNKS ->
			x = tag[c];
			if
			:: x == OWNED(life) ->
				atomic {
					if
					:: tag[c] == x -> tag[c] = FREE
					:: else
					fi
				}
			:: else
			fi;
			x = 0;
			if
			:: daemon_kills > 0 ->
				atomic { daemon_kills--; c = 0; goto again }
			:: true
			fi;
			c++
		:: else -> break
		od;
		c = 0;
		do
		:: c < FREERS ->
#ifndef BUG_NO_WAIT
			mark[c] == 0 || mark[c] > stamp;
#endif
			c++
		:: else -> break
		od;
		atomic {
			c = 1;
			do
			:: c <= CHUNKS ->
				assert(tag[c] != OWNED(life) ||
				    g_life[c] != life);
				c++
			:: else -> break
			od;
			c = 0;
			if
			:: life == LIVES - 1 -> is_last = 1
			:: else -> life++; is_dead = 0
			fi
		}
	od
}

init {
	byte f;

	atomic {
		do
		:: f < FREERS -> run Freer(f); f++
		:: else -> break
		od;
		run Victim();
		run Daemon()
	}
}

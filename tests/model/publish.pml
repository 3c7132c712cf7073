/*
 * shmalloc_publish, its helpers, its recovery and what grace periods protect.
 *
 * Each STEP is one load, store or compare-and-swap of shared memory, in the
 * order the C code must keep; what a process does in private is glued to it.
 * What is not the protocol is abstract and as hostile as its contract allows:
 * a grace period waits for exactly the threads that were pinned when it
 * began, and the memory is in use again at once.
 *
 * A process may be killed before any STEP, the daemon before any STEP of its
 * recovery; the record of a dead thread goes to a new one afterwards.  When
 * nothing moves any more a checker looks at the whole heap, and ghosts (g_)
 * tie each result to one change of the slot.
 *
 * README.md maps the labels to C.  The runner sets the sizes below and turns
 * on one seeded bug (BUG_*) at a time.
 */

#ifndef THREADS
#define THREADS 2	/* thread records, at most 4 */
#endif
#ifndef CHUNKS
#define CHUNKS 4	/* offsets 1..CHUNKS, at most 7; 0 is "none" */
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef CALLS
#define CALLS 2		/* calls thread 0 makes */
#endif
#ifndef CALLS_OTHERS
#define CALLS_OTHERS CALLS
#endif
#ifndef KILLS
#define KILLS 0		/* clients killed in one run */
#endif
#ifndef DAEMON_KILLS
#define DAEMON_KILLS 0
#endif
#ifndef REBIRTHS
#define REBIRTHS 0	/* records of the dead that new threads get */
#endif
#ifndef FIRST
#define FIRST 0		/* chunk that hangs from slot 0 at the start */
#endif
#define ALL ((1 << THREADS) - 1)

/* With SAMECLIENT records 0 and 1 are two threads of one process. */
#ifdef SAMECLIENT
#define CLIENT(t) ((t) == 1 -> 0 : (t))
#define PROCESS(t) ((t) < 2 -> 3 : (1 << (t)))
#define NAMES(x, m) (BIT(OWNER(x)) & ((m) & 2 -> (m) | 1 : (m)))
#else
#define CLIENT(t) (t)
#define PROCESS(t) (1 << (t))
#define NAMES(x, m) (BIT(OWNER(x)) & (m))	/* tag x, threads m */
#endif
#define BIT(t) (1 << (t))
#define DAEMON 7	/* the daemon's own client slot */

/* A tag is a state and an owner: a client, or (*) a thread. */
#define FREE 0
#define OWNED(c) (8 + (c))
#define PUBLISHING(t) (16 + (t))	/* (*) */
#define TAKING(t) (24 + (t))		/* (*) */
#define COMMITTED(t) (32 + (t))		/* (*) only with TWOPHASE */
#define SHARED 40
#define UNLINKED(c) (48 + (c))
#define RETIRED(c) (56 + (c))
#define STATE(x) ((x) & 56)
#define OWNER(x) ((x) & 7)
#define IS(state, x) (STATE(x) == state(0))

byte tag[CHUNKS + 1];
byte slot[SLOTS];
byte waits[CHUNKS + 1];	/* threads a retired chunk still waits for */
byte pinned;		/* threads between enter and exit */

/* The intent: three words in each thread's record. */
byte i_slot[THREADS];
byte i_expected[THREADS];
byte i_desired[THREADS];

byte dead;		/* threads of the dead whose records are not new */
byte recovered;		/* of these, settled: the records may be reused */
byte finished;		/* ended in good order */
byte kills = KILLS;
byte daemon_kills = DAEMON_KILLS;
byte rebirths = REBIRTHS;

byte g_incall;		/* the intent is whole and the call has not ended */
byte g_changed;		/* the slot was changed in the name of this call */
byte g_differed;	/* slot != expected at some instant of the call */
byte g_loose;		/* chunks given to the segment without a slot */
#ifdef BUG_GRACE_FROM_DEATH
byte g_inside;		/* who was pinned when the death was noticed */
#endif

/* The caller dies here, and with it the threads of its process. */
inline die()
{
	d_step {
		if
		:: t == DAEMON -> daemon_kills--; m = 0
		:: t != DAEMON && (dead & BIT(t))
		:: else -> kills--; dead = dead | (PROCESS(t) & ~finished)
		fi;
		s = 0; e = 0; d = 0; x = 0; y = 0; i = 0
	}
}

#define DOOMED \
	(t == DAEMON -> daemon_kills > 0 : kills > 0 || (dead & BIT(t)))
#define STEP \
	atomic { \
		if \
		:: DOOMED -> die(); goto killed \
		:: !(dead & BIT(t)) \
		fi;
#define END }

/* A grace period is over, or there is none: eager, the hard case. */
inline reap(c)
{
	if
	:: IS(RETIRED, tag[c]) && waits[c] == 0 ->
		assert(slot[0] != c && slot[SLOTS - 1] != c);
		tag[c] = FREE
	:: else
	fi
}

inline pin(p)
{
	pinned = pinned | BIT(p)
}

inline unpin(p)
{
	d_step {
		pinned = pinned & ~BIT(p);
		i = 1;
		do
		:: i <= CHUNKS ->
			waits[i] = waits[i] & ~BIT(p);
			reap(i);
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline cas_tag(c, from, to)
{
	if
	:: tag[c] == from -> tag[c] = to
	:: else
	fi
}

/*
 * The CAS that changes a slot, in the name of thread Q.  It must be for the
 * call that Q is in, and the only one in its name.
 */
inline cas_slot(s_, from, to, q)
{
	d_step {
		if
		:: slot[s_] == from ->
			assert(g_incall & BIT(q));
			assert(!(g_changed & BIT(q)));
			assert(i_slot[q] == s_ && i_expected[q] == from);
#ifndef BUG_INTENT_LATE
			assert(i_desired[q] == to);
#endif
			slot[s_] = to;
			g_changed = g_changed | BIT(q);
			i = 0;
			do
			:: i < THREADS ->
				if
				:: (g_incall & BIT(i)) && i_slot[i] == s_ &&
				    i_expected[i] != to ->
					g_differed = g_differed | BIT(i)
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		:: else
		fi
	}
}

/*
 * Finish thread Q's call: slot S_ from E_, which was seen TAKING(Q), to D_.
 * A straight line; each CAS may have been done by another already.
 */
#ifndef TWOPHASE
#define TAKEN TAKING
#else
#define TAKEN COMMITTED
#endif
inline drive(q, s_, e_, d_)
{
#ifdef TWOPHASE
	/* DESIGN's first form: look at the slot again after the claim. */
	STEP
		y = slot[s_]
	END;
	STEP
		if
		:: y == e_ -> cas_tag(e_, TAKING(q), COMMITTED(q))
		:: y != e_ && tag[e_] == TAKING(q) -> assert(false)
		:: else
		fi;
		y = 0
	END;
#endif
	/* D_slot */
	STEP
		cas_slot(s_, e_, d_, q)
	END;
#ifdef BUG_FORGET_EARLY
	STEP
		if
		:: q == t -> i_desired[t] = 0
		:: else
		fi
	END;
#endif
	/* D_desired */
	STEP
		if
		:: d_ != 0 -> cas_tag(d_, PUBLISHING(q), SHARED)
		:: else
		fi
	END;
	/* D_expected */
	STEP
		cas_tag(e_, TAKEN(q), UNLINKED(CLIENT(q)))
	END
}

/* The call is over: the ghosts agree with its result. */
inline check_success()
{
	d_step {
		assert(g_changed & BIT(t));
		assert(e == 0 || tag[e] == UNLINKED(CLIENT(t)));
		g_incall = g_incall & ~BIT(t);
		g_changed = g_changed & ~BIT(t);
		g_differed = g_differed & ~BIT(t)
	}
}

inline check_failure()
{
	d_step {
		assert(!(g_changed & BIT(t)));
		assert(g_differed & BIT(t));
		assert(d == 0 || tag[d] == OWNED(CLIENT(t)));
		g_incall = g_incall & ~BIT(t);
		g_differed = g_differed & ~BIT(t)
	}
}

/* An offset that nobody uses: the lowest, for they are alike. */
inline allocate(d_)
{
	d_step {
		d_ = 1;
		do
		:: d_ <= CHUNKS && tag[d_] != FREE -> d_++
		:: else -> break
		od;
		if
		:: d_ > CHUNKS -> d_ = 0
		:: else -> tag[d_] = OWNED(CLIENT(t))
		fi
	}
}

/* What the next call asks for: slot s, expected e, desired d. */
inline choose()
{
	if
	:: s = 0
#if SLOTS > 1
	:: s = 1
#endif
	fi;
	if
	:: e = slot[s]
#ifdef ANYEXPECTED
	:: select(e : 1 .. CHUNKS)
#endif
	fi;
	if
	:: d == 0 && e != 0
	:: d == 0 -> allocate(d)
	:: d != 0
#ifdef ANYDESIRED
	:: d == 0 ->
		select(d : 1 .. CHUNKS);
		if
		:: tag[d] == FREE -> d = 0
		:: else
		fi
#endif
	fi
}

#ifdef SHARING
/* share gives a chunk without a slot; adopt takes one. */
inline share_or_adopt()
{
	if
	:: d != 0 ->
		assert(tag[d] == OWNED(CLIENT(t)));
		tag[d] = SHARED;
		g_loose = g_loose | BIT(d);
		d = 0
	:: d == 0 ->
		select(d : 1 .. CHUNKS);
		if
		:: (g_loose & BIT(d)) && tag[d] == SHARED ->
			tag[d] = OWNED(CLIENT(t));
			g_loose = g_loose & ~BIT(d)
		:: else -> d = 0
		fi
	fi
}
#endif

proctype Thread(byte t)
{
	byte calls, s, e, d, x, y, i, m;

life:
	do
	:: calls < (t == 0 -> CALLS : CALLS_OTHERS) ->
		atomic {
			if
			:: dead & BIT(t) -> die(); goto killed
			:: !(dead & BIT(t))
			fi;
			calls++;
			if
			:: choose()
#ifdef SHARING
			:: share_or_adopt(); goto next
#endif
			fi;
			if
			:: d == e -> goto next	/* EINVAL */
			:: else
			fi
		};
#ifdef READERS
		/* What a reader loads is not freed before it leaves. */
		if
		:: true ->
			STEP pin(t) END;
			STEP e = slot[s] END;
			STEP assert(e == 0 || tag[e] >= PUBLISHING(0)) END;
			STEP
				assert(e == 0 || tag[e] >= PUBLISHING(0));
				unpin(t)
			END;
			goto next
		:: true
		fi;
#endif
#ifdef BUG_TAG_FIRST
		STEP cas_tag(d, OWNED(CLIENT(t)), PUBLISHING(t)) END;
#endif
P_pin:
		STEP
#ifndef BUG_NO_PIN
			pin(t)
#else
			skip
#endif
#ifndef COARSE	/* these stores are read by the recovery alone */
		END;
P_intent:
#if SLOTS > 1
		STEP i_slot[t] = s END;
#endif
		STEP i_expected[t] = e END;
		STEP
#else
			;
			i_slot[t] = s;
			i_expected[t] = e;
#endif
#ifndef BUG_INTENT_LATE
			i_desired[t] = d;
#endif
			g_incall = g_incall | BIT(t);
			if
			:: slot[s] != e -> g_differed = g_differed | BIT(t)
			:: else
			fi
		END;
P_claim:
#ifdef BUG_PLAIN_CLAIM
		STEP x = tag[d] END;
		STEP
			if
			:: d == 0
			:: d != 0 && x == OWNED(CLIENT(t)) ->
				tag[d] = PUBLISHING(t)
			:: else -> goto not_owner
			fi;
			x = 0
		END;
#endif
#if !defined(BUG_PLAIN_CLAIM) && !defined(BUG_TAG_FIRST)
		STEP
			if
			:: d == 0
			:: d != 0 && tag[d] == OWNED(CLIENT(t)) ->
				tag[d] = PUBLISHING(t)
			:: else -> goto not_owner
			fi
		END;
#endif
		if
		:: e == 0 ->
P_insert:
			STEP
				if
				:: slot[s] == 0 -> cas_slot(s, 0, d, t)
				:: else -> goto undo
				fi
			END;
P_inserted:
			STEP
				cas_tag(d, PUBLISHING(t), SHARED);
				goto won
			END
		:: else
		fi;
#ifdef BUG_NAIVE
		STEP
			if
			:: slot[s] == e -> cas_slot(s, e, d, t)
			:: else -> goto undo
			fi
		END;
		STEP
			if
			:: d != 0 -> tag[d] = SHARED
			:: else
			fi
		END;
		STEP
			tag[e] = UNLINKED(CLIENT(t));
			goto won
		END;
#endif
again:
#ifdef ROUNDS
		atomic { m++; assert(m <= ROUNDS) };
#endif
P_look:
#ifndef BUG_CLAIM_FIRST
		STEP
			if
			:: slot[s] != e -> goto undo
			:: else
			fi
		END;
#endif
P_tag:
		STEP x = tag[e] END;
		if
		:: x == SHARED ->
P_take:
			STEP
				x = 0;
				if
				:: tag[e] == SHARED -> tag[e] = TAKING(t)
				:: else -> goto again
				fi
			END;
#ifdef BUG_INTENT_LATE
			STEP i_desired[t] = d END;
#endif
			drive(t, s, e, d);
			goto won
		:: IS(PUBLISHING, x) ->
P_settle:
			STEP
				cas_tag(e, x, SHARED);
				x = 0;
#ifdef BUG_NO_SETTLE
				goto undo
#else
				goto again
#endif
			END
		:: IS(TAKING, x) || IS(COMMITTED, x) ->
P_help:
#ifdef BUG_NO_HELP
			x = 0;
			goto undo;
#endif
			STEP y = i_desired[OWNER(x)] END;
#ifndef BUG_NO_REREAD
P_reread:
			STEP
				if
				:: tag[e] != x ->
					x = 0;
					y = 0;
#ifdef TWOPHASE
					goto again	/* maybe COMMITTED */
#else
					goto undo	/* that call is over */
#endif
				:: else
				fi
			END;
#endif
#ifdef TWOPHASE
			/* drive() wants y: the caller's own d waits in m */
			d_step { m = d; d = y; y = 0 };
			drive(OWNER(x), s, e, d);
			d_step { d = m; m = 0 };
#else
			drive(OWNER(x), s, e, y);
#endif
			x = 0;
			y = 0
		:: else -> x = 0
		fi;
undo:
		STEP
			if
			:: d != 0 -> tag[d] = OWNED(CLIENT(t))
			:: else
			fi;
			check_failure()
		END;
		STEP unpin(t); goto next END;
not_owner:
		STEP
			g_incall = g_incall & ~BIT(t);
			g_differed = g_differed & ~BIT(t);
			d = 0;
			unpin(t);
			goto next
		END;
won:
		STEP
			check_success();
			d = 0;
			unpin(t)
		END;
P_retire:
		STEP
			if
			:: e != 0 ->
				assert(tag[e] == UNLINKED(CLIENT(t)));
				tag[e] = RETIRED(CLIENT(t));
#ifndef BUG_NO_GRACE
				waits[e] = pinned;
#endif
				reap(e)
			:: else
			fi
		END;
next:
		atomic { e = 0; s = 0; m = 0 }
	:: else -> break
	od;
	STEP
		if
		:: d != 0 && tag[d] == OWNED(CLIENT(t)) -> tag[d] = FREE
		:: else
		fi;
		d = 0;
		finished = finished | BIT(t);
		i_slot[t] = 0;
		i_expected[t] = 0;
		i_desired[t] = 0;
		goto end
	END;

killed:
end_dead:
	/* The record goes to a new thread, of another process. */
	atomic {
#ifdef BUG_REUSE_EARLY
		rebirths > 0;
		g_incall = g_incall & ~BIT(t);
		g_changed = g_changed & ~BIT(t);
		g_differed = g_differed & ~BIT(t);
#else
		(recovered & BIT(t)) && rebirths > 0;
#endif
		rebirths--;
		dead = dead & ~BIT(t);
		recovered = recovered & ~BIT(t);
		calls = (t == 0 -> CALLS : CALLS_OTHERS) - 1;
		goto life
	};
end:
	skip
}

/* Settle what dead thread Q left: its intent, then what it published. */
inline settle(q)
{
	d_step { s = i_slot[q]; e = i_expected[q]; d = i_desired[q] };
#ifndef BUG_NO_DRIVE
	STEP
		if
		:: e != 0 -> x = tag[e]
		:: else
		fi
	END;
	if
	:: x == TAKING(q) || x == COMMITTED(q) ->
R_drive:
		drive(q, s, e, d)
	:: else
	fi;
	x = 0;
#endif
R_desired:
	STEP
		if
		:: d != 0 && tag[d] == PUBLISHING(q) -> x = 1
		:: else
		fi
	END;
	if
	:: x == 1 ->
R_look:
		STEP x = slot[s] END;
		STEP
			if
#ifndef BUG_NO_LOOK
			:: x == d -> cas_tag(d, PUBLISHING(q), SHARED)
#endif
			:: else -> cas_tag(d, PUBLISHING(q), OWNED(CLIENT(q)))
			fi
		END
	:: else
	fi;
	x = 0;
R_unpin:
	STEP unpin(q) END;
	d_step { s = 0; e = 0; d = 0 }
}

/* One chunk of the walk: what does its tag say about the dead in M? */
inline visit(c)
{
	x = tag[c];
	if
	:: x == FREE || x == SHARED || !NAMES(x, m)
	:: else ->
		if
		:: IS(OWNED, x) -> tag[c] = FREE
#ifdef BUG_NO_DRIVE
		:: IS(TAKING, x) || IS(COMMITTED, x) -> tag[c] = SHARED
#endif
		:: IS(UNLINKED, x) || IS(RETIRED, x) ->
			/* the daemon's from here: a grace period from now */
			tag[c] = RETIRED(DAEMON);
#if defined(BUG_NO_GRACE)
			waits[c] = 0;
#elif defined(BUG_GRACE_FROM_DEATH)
			waits[c] = pinned & g_inside;
#else
			waits[c] = pinned;
#endif
			reap(c)
		:: else -> assert(false)	/* it names a dead thread */
		fi
	fi;
	x = 0
}

proctype Daemon()
{
	byte m, s, e, d, x, y, i, q;
	byte t = DAEMON;

end_idle:
	do
	:: atomic {
			(dead & ~recovered) != 0 -> m = dead & ~recovered
#ifdef BUG_GRACE_FROM_DEATH
			; g_inside = pinned
#endif
		};
		q = 0;
		do
		:: q < THREADS && (m & BIT(q)) -> settle(q); q++
		:: q < THREADS && !(m & BIT(q)) -> q++
		:: else -> break
		od;
		q = 1;
		do
		:: q <= CHUNKS ->
R_walk:
			STEP
				d_step {
					visit(q);
					q++;
					/* what is not theirs costs no step */
					do
					:: q <= CHUNKS && (tag[q] == FREE ||
					    tag[q] == SHARED ||
					    !NAMES(tag[q], m)) -> q++
					:: else -> break
					od
				}
			END
		:: else -> break
		od;
		q = 0;
R_reuse:
		STEP
			i = 0;
			do
			:: i < THREADS ->
				if
				:: m & BIT(i) ->
					i_slot[i] = 0;
					i_expected[i] = 0;
					i_desired[i] = 0
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0;
			g_incall = g_incall & ~m;
			g_changed = g_changed & ~m;
			g_differed = g_differed & ~m;
			recovered = recovered | m;
			m = 0
		END
	od;
killed:
	q = 0;
	goto end_idle
}

/* Nothing moves any more: the whole heap must be in one legal state. */
proctype Checker()
{
	byte c, n, i;

end:
	atomic {
		(finished | recovered) == ALL && (dead & ~recovered) == 0 &&
		    (rebirths == 0 || recovered == 0);
		assert(pinned == 0);
		c = 1;
		do
		:: c <= CHUNKS ->
			n = 0;
			i = 0;
			do
			:: i < SLOTS ->
				n = n + (slot[i] == c);
				i++
			:: else -> break
			od;
			if
			:: tag[c] == SHARED && (g_loose & BIT(c)) ->
				assert(n == 0)
			:: tag[c] == SHARED && !(g_loose & BIT(c)) ->
				assert(n == 1)
			:: else -> assert(n == 0 && tag[c] == FREE)
			fi;
			c++
		:: else -> break
		od
	}
}

init {
	byte t;

	atomic {
		if
		:: FIRST != 0 -> slot[0] = FIRST; tag[FIRST] = SHARED
		:: else
		fi;
		do
		:: t < THREADS -> run Thread(t); t++
		:: else -> break
		od;
		run Daemon();
		run Checker()
	}
}

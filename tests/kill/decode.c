/*
 * As much of x86-64's instruction format as it takes to know which memory an
 * instruction names.  What isn't understood is INSN_VAGUE, and then everything
 * is compared; so are all states at an operation's end, and with
 * SHMALLOC_CHECK_ALL after each instruction, which holds this to account.
 */
#include <string.h>

#include "tests/kill/kill.h"

#ifdef __x86_64__

struct cursor {
	const uint8_t *at, *end;
	unsigned rex; /* W R X B */
	bool is_locked, is_repeated, has_segment;
	bool is_vex, is_evex;
	unsigned map; /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a */
	uint8_t opcode;
};

static uint8_t
byte_next(struct cursor *cursor)
{
	return cursor->at < cursor->end ? *cursor->at++ : 0;
}

/* False: an address-size prefix, which nobody uses. */
static bool
prefixes_read(struct cursor *cursor)
{
	for (; cursor->at < cursor->end; cursor->at++) {
		switch (*cursor->at) {
		case 0xf0:
			cursor->is_locked = true;
			break;
		case 0xf2:
		case 0xf3:
			cursor->is_repeated = true;
			break;
		case 0x64:
		case 0x65:
			cursor->has_segment = true;
			break;
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x26:
		case 0x66:
			break;
		default:
			return *cursor->at != 0x67;
		}
	}
	return false;
}

/* A VEX or EVEX prefix, whose first byte FIRST has been read. */
static void
vex_read(struct cursor *cursor, uint8_t first)
{
	uint8_t payload = byte_next(cursor);

	cursor->is_vex = true;
	cursor->map = 1;
	if (first == 0xc5)
		return;
	cursor->map = payload & 7;
	cursor->rex |= ~(unsigned)payload >> 5 & 3;
	(void)byte_next(cursor);
	cursor->is_evex = first == 0x62;
	if (cursor->is_evex)
		(void)byte_next(cursor);
}

static void
opcode_read(struct cursor *cursor)
{
	uint8_t byte = byte_next(cursor);

	if ((byte & 0xf0) == 0x40) {
		cursor->rex = byte & 15;
		byte = byte_next(cursor);
	}
	if (byte == 0xc4 || byte == 0xc5 || byte == 0x62) {
		vex_read(cursor, byte);
		byte = byte_next(cursor);
	} else if (byte == 0x0f) {
		cursor->map = 1;
		byte = byte_next(cursor);
		if (byte == 0x38 || byte == 0x3a) {
			cursor->map = byte == 0x38 ? 2 : 3;
			byte = byte_next(cursor);
		}
	}
	cursor->opcode = byte;
}

/* Does the one-byte opcode have a ModRM byte? */
static bool
one_has_operand(uint8_t op)
{
	return (op < 0x40 && (op & 7) < 4) || op == 0x63 || op == 0x69 ||
	    op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 ||
	    op == 0xc1 || op == 0xc6 || op == 0xc7 ||
	    (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) ||
	    op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff;
}

/* And the two-byte one, without those that only look as if they touched
 * memory: prefetches and long no-ops. */
static bool
two_has_operand(uint8_t op)
{
	return op != 0x05 && op != 0x0b && op != 0x0d &&
	    !(op >= 0x18 && op <= 0x1f) && !(op >= 0x30 && op <= 0x37) &&
	    op != 0x77 && !(op >= 0x80 && op <= 0x8f) &&
	    !(op >= 0xa0 && op <= 0xa2) && !(op >= 0xa8 && op <= 0xaa) &&
	    !(op >= 0xc8 && op <= 0xcf);
}

static int64_t
displacement_read(struct cursor *cursor, unsigned len)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < len; i++)
		value |= (uint32_t)byte_next(cursor) << 8 * i;
	return len == 1 ? (int8_t)value : (int32_t)value;
}

/* The operand in memory that ModRM and what follows name. */
static void
operand_read(struct cursor *cursor, struct kill_insn *ret)
{
	uint8_t modrm = byte_next(cursor), sib;
	unsigned mod = modrm >> 6, rm = modrm & 7;
	int b = cursor->rex & 1 ? 8 : 0, x = cursor->rex & 2 ? 8 : 0;
	unsigned len = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	/* Thread-local, or next to the code: not the segment. */
	if (mod == 3 || cursor->has_segment || (mod == 0 && rm == 5))
		return;
	ret->kind = INSN_MEMORY;
	ret->is_locked = cursor->is_locked ||
	    (cursor->map == 0 && (cursor->opcode & 0xfe) == 0x86);
	ret->base = (int)rm + b;
	if (rm == 4) {
		sib = byte_next(cursor);
		ret->base = (sib & 7) + b;
		ret->index = (sib >> 3 & 7) + x;
		ret->scale = 1 << (sib >> 6);
		if (ret->index == 4)
			ret->index = -1;
		if (mod == 0 && (sib & 7) == 5) {
			ret->base = -1;
			len = 4;
		}
	}
	ret->disp = displacement_read(cursor, len);
	/* Its displacement is scaled by the operand's size. */
	if (cursor->is_evex && mod == 1)
		ret->kind = INSN_VAGUE;
}

static bool
is_string(const struct cursor *cursor)
{
	uint8_t op = cursor->opcode;

	return cursor->map == 0 && !cursor->is_vex && op >= 0xa4 &&
	    op <= 0xaf && op != 0xa8 && op != 0xa9;
}

void
insn_decode(const uint8_t *code, size_t n, struct kill_insn *ret)
{
	struct cursor cursor = { .at = code, .end = code + n };

	ret->kind = INSN_PLAIN;
	ret->is_locked = false;
	ret->base = ret->index = -1;
	ret->scale = 1;
	ret->disp = 0;
	if (!prefixes_read(&cursor)) {
		ret->kind = INSN_VAGUE;
		return;
	}
	opcode_read(&cursor);
	if (is_string(&cursor))
		ret->kind = INSN_STRING;
	else if (cursor.map == 1 && !cursor.is_vex && cursor.opcode == 0x05)
		ret->kind = INSN_SYSCALL;
	else if (cursor.map == 0 &&
	    ((cursor.opcode >= 0xa0 && cursor.opcode <= 0xa3) ||
		cursor.opcode == 0xd7 || cursor.opcode == 0xcd))
		ret->kind = INSN_VAGUE;
	else if (cursor.map == 0 && cursor.opcode == 0x8d)
		ret->kind = INSN_PLAIN; /* lea */
	else if (cursor.map == 0 ? one_has_operand(cursor.opcode)
		: cursor.map == 1 && !cursor.is_vex
		? two_has_operand(cursor.opcode)
		: !(cursor.map == 1 && cursor.opcode == 0x77))
		operand_read(&cursor, ret);
}

#else

void
insn_decode(const uint8_t *code, size_t n, struct kill_insn *ret)
{
	(void)code;
	(void)n;
	ret->kind = INSN_VAGUE;
}

#endif
